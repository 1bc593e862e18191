package dependency

import (
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

type kind struct {
	make     func(*target) question
	protocol string // for "it is not ..."
	usual    string // port, where the URL has none; "" if it must have one
	takes    parts
	overTLS  bool // the connection begins with a TLS handshake
}

// parts are what a URL of a kind may have.
type parts int

const (
	withPath    parts = 1 << iota
	withUser          // and a password, or none
	withoutHost       // or with one
	withSocket        // of Unix, by option socket
	withHosts         // one or more, with commas between them
)

// target is what a URL says: where a service is, and how to ask it.
type target struct {
	kind
	*options
	url     *url.URL
	port    string
	timeout time.Duration // of one run
	tls     *tlsSettings  // nil unless the connection begins with a TLS handshake
	socket  string        // of Unix, "" to connect to the host
	ask     question
	hangUp  func() // ends the connection that is kept
}

// question asks once and sets at to the phase it has reached. Its errors are a verdict, a warning, or an error of
// the network, the TLS package or a library: describe turns those into text of ours.
type question func(ctx context.Context, at *phase) error

func (t *target) addr() string { return net.JoinHostPort(t.url.Hostname(), t.port) }

// checkParts notes each part that the URL lacks, or that its kind does not take.
func (t *target) checkParts() {
	for _, rule := range []struct {
		broken bool
		says   string
	}{
		{t.url.Hostname() == "" && t.takes&withoutHost == 0, "has no host: write it as scheme://host"},
		{strings.Contains(t.url.Host, ","), severalHosts},
		{t.port == "", "has no port: write it as scheme://host:port"},
		{t.url.Path != "" && t.url.Path != "/" && t.takes&withPath == 0, "must have no path"},
		{t.url.User != nil && t.takes&withUser == 0, "must have no user and no password"},
	} {
		if rule.broken {
			t.fault("%s", rule.says)
		}
	}
}

const severalHosts = "names several hosts: declare a dependency for each"

// socketFile is the path of the Unix socket that the service listens on, "" if it listens on the host of the URL.
func (t *target) socketFile() string {
	file := t.text("socket")
	if file != "" && (!filepath.IsAbs(file) || len(file) > 107) { // more does not fit into an address
		t.fault("must have an absolute path of at most 107 bytes as its option socket")
	}
	return file
}

// plaintextLogin is whether the URL allows its password to be sent without TLS to whoever answers.
func (t *target) plaintextLogin() bool {
	return t.word("plaintext_login", "refuse", "allow") == "allow"
}

// guardPassword is for a kind that sends the password as it is and has TLS from the start, with another scheme, or
// never.
func (t *target) guardPassword() {
	_, password := t.login()
	if t.tls == nil && !t.plaintextLogin() && t.socket == "" && password != "" {
		t.fault("would send its password in clear: write it as %ss://, or add plaintext_login=allow", t.url.Scheme)
	}
}

// login is user and password; both may be empty.
func (t *target) login() (user, password string) {
	password, _ = t.url.User.Password()
	return t.url.User.Username(), password
}
