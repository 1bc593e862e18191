package dependency

import (
	"context"
	"encoding/json"
	"io"
	"strings"
)

// newNATS logs in and asks PING, which the server answers after everything it was sent before:
// nats://user:password@host:4222, or nats://token@host. TLS is spoken where the server requires it, or an option
// of TLS is set.
func newNATS(t *target) question {
	settings := t.tlsOptions()
	user, password := t.login()
	login := func(_ context.Context, at *phase, s *session) (link, error) {
		n := nats{s}
		return n, n.login(at, settings, user, password)
	}
	return t.keep(login)
}

type nats struct{ *session }

func (n nats) login(at *phase, settings *tlsSettings, user, password string) error {
	*at = greeting
	line, err := n.line()
	if err != nil {
		return err
	}
	var info struct {
		TLSRequired  bool `json:"tls_required"`
		TLSAvailable bool `json:"tls_available"`
	}
	text, is := strings.CutPrefix(line, "INFO ")
	if !is || json.Unmarshal([]byte(text), &info) != nil {
		return errNotSpoken
	}
	encrypted := info.TLSRequired || settings.set
	if encrypted {
		if !info.TLSRequired && !info.TLSAvailable {
			return verdictf("the server offers no TLS")
		}
		if err := n.encrypt(at, settings); err != nil {
			return err
		}
	}
	*at = authentication
	hello := map[string]any{"verbose": false, "pedantic": false, "tls_required": encrypted, "protocol": 1,
		"name": "accountservice-health", "lang": "go", "version": "1"}
	switch {
	case password != "":
		hello["user"], hello["pass"] = user, password
	case user != "":
		hello["auth_token"] = user
	}
	connect, err := json.Marshal(hello)
	if err != nil {
		return err
	}
	return n.pong("CONNECT " + string(connect) + "\r\n")
}

func (n nats) ask(_ context.Context, at *phase) error {
	*at = ping
	return n.pong("")
}

func (n nats) close() {}

// pong sends hello and PING, and waits for PONG. It answers the server's own PINGs since the last run: else the
// server would end the connection.
func (n nats) pong(hello string) error {
	if _, err := io.WriteString(n, hello+"PING\r\n"); err != nil {
		return err
	}
	for {
		line, err := n.line()
		switch word, rest, _ := strings.Cut(line, " "); {
		case err != nil:
			return err
		case word == "PONG":
			return nil
		case word == "PING":
			_, err = io.WriteString(n, "PONG\r\n")
		case word == "-ERR":
			return natsFailure(rest)
		case word != "+OK" && word != "INFO":
			return errNotSpoken
		}
		if err != nil {
			return err
		}
	}
}

// natsFailure is what an error of a NATS server means; after each the server ends the connection. Another that came
// while the connection was idle is a goodbye.
func natsFailure(text string) error {
	text = strings.ToLower(text)
	for part, word := range map[string]string{
		"authorization violation":     "the server refuses the user name, password or token",
		"authentication timeout":      "the server waited too long for the login",
		"authentication expired":      "the login has expired",
		"maximum connections":         "the server has too many connections",
		"maximum account active conn": "the account has too many connections",
		"secure connection":           "the server wants TLS",
	} {
		if strings.Contains(text, part) {
			return verdictf("%s", word)
		}
	}
	return &verdict{text: "the server ended the connection", bye: true}
}
