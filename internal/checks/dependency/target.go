package dependency

import (
	"errors"
	"net"
	"net/url"
	"time"
)

// target is what a URL says: where a service is, and how to ask it.
type target struct {
	url     *url.URL
	timeout time.Duration // of one run
	options *options
}

func newTarget(u *url.URL, timeout time.Duration) *target {
	return &target{url: u, timeout: timeout, options: newOptions(u.RawQuery)}
}

// addr is host:port, with the usual port of the protocol where the URL has none.
func (t *target) addr(usual string) string {
	port := t.url.Port()
	if port == "" {
		port = usual
	}
	return net.JoinHostPort(t.url.Hostname(), port)
}

// What a kind can say that its URL needs, or has no use for.
var (
	errNoHost = errors.New("has no host: write it as scheme://host")
	errNoPort = errors.New("has no port: write it as scheme://host:port")
	errPath   = errors.New("must have no path")
	errUser   = errors.New("must have no user and no password")
)

func (t *target) needHost() error {
	if t.url.Hostname() == "" {
		return errNoHost
	}
	return nil
}

func (t *target) needPort() error {
	if t.url.Port() == "" {
		return errNoPort
	}
	return nil
}

func (t *target) noPath() error {
	if t.url.Path != "" && t.url.Path != "/" {
		return errPath
	}
	return nil
}

func (t *target) noUser() error {
	if t.url.User != nil {
		return errUser
	}
	return nil
}

// login is user and password; both may be empty.
func (t *target) login() (user, password string) {
	password, _ = t.url.User.Password()
	return t.url.User.Username(), password
}
