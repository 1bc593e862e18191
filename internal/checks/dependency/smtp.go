package dependency

import (
	"context"
	"encoding/base64"
	"io"
	"slices"
	"strconv"
	"strings"
)

// newSMTP greets, begins TLS where the server offers it, logs in if the URL has a user, and asks NOOP. No mail is sent.
func newSMTP(t *target) question {
	settings, starttls, inClear := t.tls, "never", false
	user, password := t.login()
	if settings == nil {
		settings, inClear = t.tlsOptions(), t.plaintextLogin()
		starttls = t.word("starttls", "auto", "require", "never")
	}
	return t.keep(func(_ context.Context, at *phase, s *session) (link, error) {
		m := &smtp{session: s}
		if err := m.greeted(at); err != nil {
			return m, err
		}
		if err := m.startTLS(at, starttls, settings); err != nil {
			return m, err
		}
		if user == "" {
			return m, nil
		}
		if s.tls == nil && !inClear {
			return m, errPlaintextLogin
		}
		return m, m.login(at, user, password)
	})
}

type smtp struct {
	*session
	extensions []string
	asked      int // runs over this connection
}

// maxAsked is how many runs share a connection. Servers end or slow down one that sends no mail: Exim after 10 commands
// (smtp_accept_max_nonmail), sendmail after 20, Postfix after 100 (smtpd_junk_command_limit).
const maxAsked = 8

func (m *smtp) greeted(at *phase) error {
	*at = greeting
	if _, err := m.reply(220); err != nil {
		return err
	}
	return m.hello()
}

func (m *smtp) hello() (err error) {
	m.extensions, err = m.command("EHLO [127.0.0.1]", 250)
	return err
}

func (m *smtp) startTLS(at *phase, starttls string, settings *tlsSettings) error {
	isStartTLS := func(extension string) bool { return strings.EqualFold(extension, "STARTTLS") }
	switch offered := slices.ContainsFunc(m.extensions, isStartTLS); {
	case starttls == "never", !offered && starttls == "auto" && !settings.set:
		return nil
	case !offered:
		return errNoTLS
	}
	if _, err := m.command("STARTTLS", 220); err != nil {
		return err
	}
	if err := m.encrypt(at, settings); err != nil {
		return err
	}
	*at = greeting
	return m.hello()
}

func (m *smtp) login(at *phase, user, password string) error {
	*at = authentication
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	_, err := m.command("AUTH PLAIN "+secret, 235)
	return err
}

func (m *smtp) ask(_ context.Context, at *phase) error {
	*at = ping
	if m.asked++; m.asked > maxAsked {
		return io.EOF // as of a connection that was cut while idle: this run opens another
	}
	_, err := m.command("NOOP", 250)
	return err
}

func (m *smtp) goodbye() { io.WriteString(m, "QUIT\r\n") }

func (m *smtp) command(line string, want int) ([]string, error) {
	if _, err := io.WriteString(m, line+"\r\n"); err != nil {
		return nil, err
	}
	return m.reply(want)
}

// reply reads the lines of one reply and wants this code.
func (m *smtp) reply(want int) (texts []string, err error) {
	for {
		line, err := m.line()
		if err != nil {
			return nil, err
		}
		if len(line) < 3 {
			return nil, errNotSpoken
		}
		code, err := strconv.ParseUint(line[:3], 10, 16)
		if err != nil || code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return nil, errNotSpoken
		}
		if len(line) > 3 {
			texts = append(texts, line[4:])
		}
		switch {
		case len(line) > 3 && line[3] == '-':
			continue
		case int(code) == want:
			return texts, nil
		}
		return nil, smtpFailure(int(code))
	}
}

// smtpFailure is what a reply code means; its text is the server's.
func smtpFailure(code int) error {
	return coded(code, map[int]string{
		421: "the server is not available, or has too many connections",
		454: "the server cannot log in or begin TLS now",
		530: "the server wants a login or TLS",
		534: "the server takes no user name and password (PLAIN)",
		535: "the server refuses the user name or password",
		554: "the server takes no mail from this host",
	}, 421)
}
