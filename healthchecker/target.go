package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"accountservice/internal/httpcheck"
	"accountservice/internal/probesocket"
)

type target struct {
	network    string   // tcp or unix
	addrs      []string // tried in turn
	serverName string   // whose certificate is wanted; empty: no TLS
	host       string   // the Host header; empty: the address
	user       *url.Userinfo
	path       *url.URL          // path and query
	fields     []httpcheck.Field // more of the header
	roots      *x509.CertPool    // nil: those of the system
}

// ownSocket returns /health on the socket of the service with this environment.
func ownSocket(environ []string) (target, error) {
	name, err := probesocket.Name(environ)
	if err != nil {
		return target{}, fmt.Errorf("the service's socket can't be found without /proc: use -port (%w)", err)
	}
	return target{network: "unix", addrs: []string{name}, host: "localhost", path: health}, nil
}

var health = &url.URL{Path: "/health"}

// healthAt returns /health on a port of this machine. It does not ask localhost: a resolver may give any address for
// it.
func healthAt(port string) (target, error) {
	if err := checkPort(port); err != nil {
		return target{}, fmt.Errorf("-port: %w", err)
	}
	return target{network: "tcp", addrs: []string{"127.0.0.1:" + port, "[::1]:" + port}, path: health}, nil
}

func checkPort(text string) error {
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return errors.New("want a number from 1 to 65535")
	}
	return nil
}

// fromURL returns the target of -url. Its errors repeat nothing of it: any part may be a password.
func fromURL(raw string) (target, error) {
	if rest, ok := strings.CutPrefix(raw, "unix://"); ok {
		return fromSocket(rest)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, errors.New("-url is not a URL such as http://127.0.0.1:8080/health; " +
			"special characters in a password need percent-encoding")
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" {
		return target{}, errors.New("-url must begin with http://, https:// or unix:///")
	}
	if u.Hostname() == "" {
		return target{}, errors.New("-url names no host")
	}
	port = cmp.Or(u.Port(), port)
	if err := checkPort(port); err != nil {
		return target{}, fmt.Errorf("-url: wrong port: %w", err)
	}
	if _, rest, _ := strings.Cut(raw, "://"); strings.Contains(rest[strings.IndexAny(rest+"/", "/?#"):], "@") {
		// http://user:12/34@host would ask the host "user" and print half of the password.
		return target{}, errors.New("-url: write @ after the host as %40, " +
			"and /, ? and # in a password as %2F, %3F and %23")
	}
	to := target{
		network: "tcp",
		addrs:   []string{net.JoinHostPort(u.Hostname(), port)},
		host:    u.Host,
		user:    u.User,
		path:    &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery},
	}
	if u.Scheme == "https" {
		to.serverName = u.Hostname()
	}
	return to, nil
}

// fromSocket reads what follows unix:// in -url, such as /run/app.sock:/health.
func fromSocket(rest string) (target, error) {
	file, request, asks := strings.Cut(rest, ":/")
	if !strings.HasPrefix(file, "/") || file == "/" {
		return target{}, errors.New("-url: a socket is written unix:///run/app.sock:/health")
	}
	path := &url.URL{Path: "/"}
	if asks {
		var err error
		if path, err = url.ParseRequestURI("/" + request); err != nil {
			return target{}, errors.New("-url: what follows the socket is not a path")
		}
	}
	return target{network: "unix", addrs: []string{file}, host: "localhost", path: path}, nil
}
