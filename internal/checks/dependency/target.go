package dependency

import (
	"context"
	"errors"
	"net"
	"net/url"
	"time"
)

// target is what a URL says: where a service is, and how to ask it.
type target struct {
	url     *url.URL
	timeout time.Duration // of one run
	port    string        // where the URL has none
	options *options
	tls     *tlsSettings // nil unless the connection begins with a TLS handshake
	hangUp  func()       // ends the connection that is kept
}

// question asks once and sets at to the phase it has reached. Its errors are a verdict, a warning, or an error of
// the network, the TLS package or a library: describe turns those into text of ours.
type question func(ctx context.Context, at *phase) error

// addr is host:port.
func (t *target) addr() string {
	port := t.url.Port()
	if port == "" {
		port = t.port
	}
	return net.JoinHostPort(t.url.Hostname(), port)
}

func (t *target) needHost() error {
	if t.url.Hostname() == "" {
		return errors.New("has no host: write it as scheme://host")
	}
	return nil
}

func (t *target) needPort() error {
	if t.url.Port() == "" {
		return errors.New("has no port: write it as scheme://host:port")
	}
	return nil
}

func (t *target) noPath() error {
	if t.url.Path != "" && t.url.Path != "/" {
		return errors.New("must have no path")
	}
	return nil
}

func (t *target) noUser() error {
	if t.url.User != nil {
		return errors.New("must have no user and no password")
	}
	return nil
}

// login is user and password; both may be empty.
func (t *target) login() (user, password string) {
	password, _ = t.url.User.Password()
	return t.url.User.Username(), password
}
