//go:build linux

package dependencies

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"accountservice/tests/harness"
)

// newSMTP is a server of the package go-smtp, with the user u. It offers STARTTLS if config is not nil; from the start it
// speaks TLS if implicit.
func newSMTP(t *testing.T, config *tls.Config, implicit bool) *own {
	return newOwn(t, func(l net.Listener) func() {
		server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{}, nil }))
		server.Domain, server.AllowInsecureAuth = "mail.test", true
		if implicit {
			l = tls.NewListener(l, config)
		} else {
			server.TLSConfig = config
		}
		go server.Serve(l)
		return func() { server.Close() }
	})
}

// mailbox lets u log in and takes no mail.
type mailbox struct{ smtp.Session }

func (mailbox) AuthMechanisms() []string { return []string{sasl.Plain} }
func (mailbox) Reset()                   {}
func (mailbox) Logout() error            { return nil }

func (mailbox) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "u" || password != "hunter2" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func TestFaultsOfAnSMTPServer(t *testing.T) {
	needServers(t)
	authority := harness.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{authority.Own()}}
	plain, starttls, implicit := newSMTP(t, nil, false), newSMTP(t, config, false), newSMTP(t, config, true)
	for _, server := range []*own{plain, starttls, implicit} {
		server.start()
	}
	const noTLS = "greeting: the server offers no TLS"
	trusted := "?ca_file=" + authority.File
	for url, want := range map[string]string{
		"smtp://" + plain.addr: "",
		"smtp://u:hunter2@" + plain.addr + "?plaintext_login=allow":            "",
		"smtp://u:wrong-hunter2@" + plain.addr + "?plaintext_login=allow":      "authentication: the server refuses the user name or password (535)",
		"smtp://u:hunter2@" + plain.addr:                                       noTLS + ", without which plaintext_login=allow must permit the login",
		"smtp://" + plain.addr + "?starttls=require":                           noTLS,
		"smtps://" + plain.addr:                                                "TLS handshake: it does not speak TLS",
		"smtp://u:hunter2@" + starttls.addr + trusted:                          "",
		"smtp://u:wrong-hunter2@" + starttls.addr + trusted:                    "authentication: the server refuses the user name or password (535)",
		"smtp://u:hunter2@" + starttls.addr:                                    "TLS handshake: its certificate is signed by an unknown authority",
		"smtp://" + starttls.addr + "?starttls=never":                          "",
		"smtp://" + starttls.addr + trusted + "&cert_warn=8000h":               "its certificate ends on ",
		"smtps://u:hunter2@" + implicit.addr + trusted:                         "",
		"smtps://u:hunter2@" + implicit.addr + trusted + "&server_name=a.test": "TLS handshake: its certificate is for another name than a.test",
	} {
		run := newRun(t, url)
		for range 2 {
			wants(t, run, want)
		}
	}
}
