package dependency

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// newNATS logs in and asks PING, which the server answers after all it was sent
// before: nats://user:password@host:4222, or nats://token@host. TLS is spoken
// where the server requires it, or an option of TLS is set.
func newNATS(t *target) (question, error) {
	secure, badTLS := t.tls()
	open := func(ctx context.Context, at *phase) (link, error) {
		conn, err := t.open(ctx, at, "4222", nil)
		if err != nil {
			return nil, err
		}
		n := &nats{session: newSession(conn), secure: secure}
		if err := n.login(ctx, t, at); err != nil {
			n.close()
			return nil, err
		}
		return n, nil
	}
	return keep(open), errors.Join(t.needHost(), t.noPath(), badTLS)
}

// nats is a connection to a NATS server.
type nats struct {
	*session
	secure *secure
}

// natsInfo is what a server says first.
type natsInfo struct {
	TLSRequired  bool `json:"tls_required"`
	TLSAvailable bool `json:"tls_available"`
}

// natsConnect is what it is told.
type natsConnect struct {
	Verbose     bool   `json:"verbose"`
	Pedantic    bool   `json:"pedantic"`
	TLSRequired bool   `json:"tls_required"`
	User        string `json:"user,omitempty"`
	Password    string `json:"pass,omitempty"`
	Token       string `json:"auth_token,omitempty"`
	Name        string `json:"name"`
	Lang        string `json:"lang"`
	Version     string `json:"version"`
	Protocol    int    `json:"protocol"`
}

func (n *nats) login(ctx context.Context, t *target, at *phase) error {
	at.set(greeting)
	var info natsInfo
	if err := n.during(ctx, func() (err error) { info, err = n.info(); return err }); err != nil {
		return err
	}
	encrypted := info.TLSRequired || n.secure.asked
	if encrypted {
		if !info.TLSRequired && !info.TLSAvailable {
			return verdictf("the server offers no TLS")
		}
		if n.r.Buffered() > 0 {
			return errNotSpoken // something was slipped in before the encryption
		}
		conn, err := n.secure.handshake(ctx, at, n.Conn)
		if err != nil {
			return err
		}
		n.session = newSession(conn)
	}
	at.set(authentication)
	hello := natsConnect{TLSRequired: encrypted, Name: "accountservice-health", Lang: "go", Version: "1", Protocol: 1}
	hello.User, hello.Password = t.login()
	if hello.Password == "" {
		hello.User, hello.Token = "", hello.User
	}
	text, err := json.Marshal(hello)
	if err != nil {
		return err
	}
	return n.during(ctx, func() error { return n.pong("CONNECT " + string(text) + "\r\n") })
}

func (n *nats) info() (natsInfo, error) {
	var info natsInfo
	line, err := n.line()
	if err != nil {
		return info, err
	}
	text, is := strings.CutPrefix(line, "INFO ")
	if !is || json.Unmarshal([]byte(text), &info) != nil {
		return info, errNotSpoken
	}
	return info, nil
}

func (n *nats) ask(ctx context.Context, at *phase) error {
	at.set(ping)
	if err := n.during(ctx, func() error { return n.pong("") }); err != nil {
		return err
	}
	return n.secure.look(n.Conn)
}

func (n *nats) close() { n.Close() }

// pong sends hello and PING, and waits for PONG. The server's own PINGs, which
// came since the last run, are answered: else it would end the connection.
func (n *nats) pong(hello string) error {
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

// natsFailure knows the errors of a NATS server; after each it ends the
// connection. One that comes while the connection was idle is a goodbye.
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
