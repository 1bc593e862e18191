package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"accountservice/config"
)

// target is one place to ask.
type target struct {
	network    string   // tcp or unix
	addrs      []string // tried in turn, the next only when nothing listens on the one before
	serverName string   // whose certificate is wanted; empty: no TLS
	host       string   // the Host header; empty: the address
	user       *url.Userinfo
	path       *url.URL // path and query
	component  string   // who must answer; empty: anyone
}

// target returns what the options name or, without them, the configuration.
func (o options) target(environ []string) (target, error) {
	var to target
	var err error
	switch {
	case o.url != "":
		to, err = fromURL(o.url)
	case o.port != 0: // the configuration is not loaded: it may be broken
		to = healthAt("", o.port)
	default:
		to, err = fromConfig(o.config, environ)
	}
	to.component = o.component
	return to, err
}

// fromConfig returns where the service listens by its own configuration.
func fromConfig(file string, environ []string) (target, error) {
	cfg, err := config.Load(file, environ)
	if err != nil {
		faults := strings.Split(strings.TrimSpace(err.Error()), "\n")
		return target{}, fmt.Errorf("configuration: %s", strings.Join(faults, "; "))
	}
	return healthAt(cfg.HTTP.Host, cfg.HTTP.Port), nil
}

// healthAt returns /health of an accountservice that listens on host and port.
func healthAt(host string, port int) target {
	hosts := []string{host}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.Unmap().IsUnspecified() {
		hosts = []string{"127.0.0.1", "::1"} // not localhost: a resolver may give any address for it
	}
	to := target{network: "tcp", path: &url.URL{Path: "/health"}}
	for _, h := range hosts {
		to.addrs = append(to.addrs, net.JoinHostPort(h, strconv.Itoa(port)))
	}
	return to
}

// fromURL returns the target of -url. Its errors repeat nothing of it: any part may
// be a password.
func fromURL(raw string) (target, error) {
	if rest, ok := strings.CutPrefix(raw, "unix://"); ok {
		return fromSocket(rest)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, errors.New("-url is not a URL; special characters in a password need percent-encoding")
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" {
		return target{}, errors.New("-url must begin with http://, https:// or unix:///")
	}
	if u.Hostname() == "" {
		return target{}, errors.New("-url names no host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return target{}, errors.New("-url: the port must be a number from 1 to 65535")
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
