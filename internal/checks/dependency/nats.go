package dependency

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"accountservice/internal/warning"
)

// newNATS logs in and asks PING, which the server answers after everything it was sent before:
// nats://user:password@host:4222, or nats://token@host. TLS is spoken where the server requires it, or an option
// of TLS is set; tls=first speaks it before the server's greeting. creds_file proves the user by a key.
// jetstream=required asks JetStream's API, too.
func newNATS(t *target) question {
	settings := t.tlsOptions()
	user, password := t.login()
	inClear, jetStream := t.plaintextLogin(), t.word("jetstream", "any", "required")
	first := t.word("tls", "auto", "first") == "first"
	if first && inClear {
		t.fault("has both tls=first and plaintext_login=allow: with TLS nothing is sent in clear, keep one")
	}
	creds := t.text("creds_file")
	if _, err := readNATSCredentials(creds); creds != "" && err != nil {
		t.fault("has a creds_file without a seed of a user's key (SU...), or one that can't be read")
	}
	if creds != "" && user != "" {
		t.fault("has both a user and a creds_file: keep one")
	}
	login := func(_ context.Context, at *phase, s *session) (link, error) {
		n := &nats{session: s, jetStream: jetStream == "required"}
		if first {
			if err := n.encryptFirst(at, settings); err != nil {
				return n, err
			}
		}
		if err := n.greeted(at, settings); err != nil {
			return n, err
		}
		if s.tls == nil && user+password != "" && !inClear {
			return n, errPlaintextLogin
		}
		*at = authentication
		return n, n.login(creds, user, password)
	}
	return t.keep(login)
}

type nats struct {
	*session
	nonce     string // for a login by a key
	jetStream bool   // must answer
	inbox     string // of JetStream's answers
	lameDuck  bool   // the server has said that it is about to stop
}

// encryptFirst begins TLS with a server that greets after it (handshake_first).
func (n *nats) encryptFirst(at *phase, settings *tlsSettings) error {
	err := n.encrypt(at, settings)
	if record, is := errors.AsType[tls.RecordHeaderError](err); is && string(record.RecordHeader[:]) == "INFO " {
		return verdictf("the server greets before TLS: take tls=first out of the URL, or set the server's handshake_first")
	}
	return err
}

// greeted reads the greeting, and begins TLS where it is spoken.
func (n *nats) greeted(at *phase, settings *tlsSettings) error {
	*at = greeting
	line, err := n.line()
	switch silent := n.tls == nil && n.left.Load() == maxAnswer; {
	case silent && (isTimeout(err) || wasCut(err)):
		return verdictf("%s; a server with handshake_first needs tls=first in the URL", reason(err, *at, "NATS"))
	case err != nil:
		return err
	}
	var info struct {
		TLSRequired  bool `json:"tls_required"`
		TLSAvailable bool `json:"tls_available"`
		Nonce        string
	}
	text, is := strings.CutPrefix(line, "INFO ")
	if !is || json.Unmarshal([]byte(text), &info) != nil {
		return errNotSpoken
	}
	n.nonce = info.Nonce
	switch {
	case n.tls != nil, !info.TLSRequired && !settings.set:
		return nil
	case !info.TLSRequired && !info.TLSAvailable:
		return errNoTLS
	}
	return n.encrypt(at, settings)
}

// login says who this is, by the key in a file if creds is not "", with all else that the server is to know.
func (n *nats) login(creds, user, password string) error {
	hello := map[string]any{"verbose": false, "pedantic": false, "tls_required": n.tls != nil, "protocol": 1,
		"name": "accountservice-health", "lang": "go", "version": "1"}
	switch {
	case creds != "":
		if err := n.prove(hello, creds); err != nil {
			return err
		}
	case password != "":
		hello["user"], hello["pass"] = user, password
	case user != "":
		hello["auth_token"] = user
	}
	subscribe := ""
	if n.jetStream {
		hello["headers"], hello["no_responders"] = true, true // so that the server says if JetStream does not listen
		n.inbox = "_INBOX." + rand.Text()
		subscribe = "SUB " + n.inbox + " 1\r\n"
	}
	connect, err := json.Marshal(hello)
	if err != nil {
		return err
	}
	return n.pong("CONNECT " + string(connect) + "\r\n" + subscribe)
}

// prove adds to hello what the key in this file proves.
func (n *nats) prove(hello map[string]any, file string) error {
	credentials, err := readNATSCredentials(file)
	if err != nil {
		return err
	}
	if n.nonce == "" {
		return verdictf("the server asks nobody for a key, which creds_file has")
	}
	credentials.sign(hello, n.nonce)
	return nil
}

func (n *nats) ask(_ context.Context, at *phase) error {
	*at = ping
	err := n.pong("")
	if err == nil && n.jetStream {
		*at = query
		err = n.askJetStream()
	}
	if err == nil && n.lameDuck {
		return warning.Errorf("the server is about to stop (lame duck mode)")
	}
	return err
}

// pong sends hello and PING, and waits for PONG.
func (n *nats) pong(hello string) error {
	_, err := n.await(hello+"PING\r\n", "PONG")
	return err
}

// await sends text, and returns what follows one of these words at the start of a line. It answers the server's own PINGs
// since the last run: else the server would end the connection.
func (n *nats) await(text string, words ...string) (rest string, err error) {
	if _, err := io.WriteString(n, text); err != nil {
		return "", err
	}
	for {
		line, err := n.line()
		switch word, rest, _ := strings.Cut(line, " "); {
		case err != nil:
			return "", err
		case slices.Contains(words, word):
			return rest, nil
		case word == "PING":
			_, err = io.WriteString(n, "PONG\r\n")
		case word == "INFO":
			n.lameDuck = n.lameDuck || strings.Contains(rest, `"ldm":true`)
		case word == "-ERR":
			return "", natsFailure(rest)
		case word != "+OK":
			return "", errNotSpoken
		}
		if err != nil {
			return "", err
		}
	}
}

// natsFailure is what an error of a NATS server means; after each the server ends the connection. One that came while
// the connection was idle, such as that the login has expired, says nothing of a new one: creds_file may have changed.
func natsFailure(text string) error {
	text = strings.ToLower(text)
	for part, word := range map[string]string{
		"authorization violation":     "the server refuses the user name, password or token",
		"authentication timeout":      "the server waited too long for the login",
		"authentication expired":      "the login has expired",
		"maximum connections":         "the server has too many connections",
		"maximum account active conn": "the account has too many connections",
		"secure connection":           "the server wants TLS",
		"permissions violation":       "this user may not ask JetStream's API, which jetstream=required needs",
	} {
		if strings.Contains(text, part) {
			return &verdict{text: word, bye: true}
		}
	}
	return &verdict{text: "the server ended the connection", bye: true}
}
