package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

const (
	maxHead = 64 << 10
	maxBody = 1 << 20
)

// answer is a complete answer.
type answer struct {
	from     string // the address, for people
	code     int
	location string
	body     []byte
}

// ask makes one connection, sends one GET and reads the whole answer before
// ctx's deadline, however slowly the peer sends it. Its errors are written for
// operators; after the deadline they are of type late.
//
// It writes and reads HTTP/1.1 itself. An http.Client would need to be told to
// use no proxy, follow no redirect, keep nothing alive and retry nothing, and
// a panic in one of its goroutines would be exit code 2.
func ask(ctx context.Context, to target) (answer, error) {
	conn, addr, err := dial(ctx, to)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return answer{}, fmt.Errorf("no deadline for %s: %w", addr, err)
	}
	if to.serverName != "" {
		secure := tls.Client(conn, &tls.Config{ServerName: to.serverName, NextProtos: []string{"http/1.1"}})
		if err := secure.Handshake(); err != nil {
			return answer{}, handshakeError(addr, err)
		}
		conn = secure
	}
	if err := request(to, addr).Write(conn); err != nil {
		return answer{}, brokenError("the request to "+addr+" was not taken", addr, err)
	}
	return read(conn, addr)
}

// dial connects to the first address where something listens.
func dial(ctx context.Context, to target) (net.Conn, string, error) {
	var first error
	for _, addr := range to.addrs {
		conn, err := (&net.Dialer{}).DialContext(ctx, to.network, addr)
		switch {
		case err == nil:
			return conn, addr, nil
		case !nothingThere(err):
			return nil, "", dialError(addr, err)
		case first == nil:
			first = dialError(addr, err)
		case errors.Is(err, syscall.ECONNREFUSED):
			first = fmt.Errorf("%w or %s", first, addr)
		}
	}
	return nil, "", first
}

// nothingThere is true if the address refuses or does not exist on this machine:
// the other loopback address may be the right one.
func nothingThere(err error) bool {
	errno, _ := errors.AsType[syscall.Errno](err)
	return errno == syscall.ECONNREFUSED || errno == syscall.ENETUNREACH || errno == syscall.EHOSTUNREACH ||
		errno == syscall.EADDRNOTAVAIL || errno == syscall.EAFNOSUPPORT
}

func request(to target, addr string) *http.Request {
	u := *to.path
	u.Scheme, u.Host = "http", cmp.Or(to.host, addr)
	req := &http.Request{
		Method: http.MethodGet,
		URL:    &u,
		Host:   u.Host,
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"healthchecker"}},
		Close:  true,
	}
	if to.user != nil {
		password, _ := to.user.Password()
		req.SetBasicAuth(to.user.Username(), password)
	}
	return req
}

// read reads one answer, within the bounds of header and body.
func read(conn io.Reader, addr string) (answer, error) {
	bounded := &io.LimitedReader{R: conn, N: maxHead}
	buffered := bufio.NewReader(bounded)
	resp, err := http.ReadResponse(buffered, nil)
	for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(buffered, nil) // 100 and 103 come before the answer
	}
	switch {
	case err != nil && bounded.N <= 0:
		return answer{}, fmt.Errorf("the header of the answer from %s is longer than 64 KiB", addr)
	case err != nil:
		return answer{}, brokenError("no answer from "+addr, addr, err)
	}
	defer resp.Body.Close()

	bounded.N = 8 * maxBody // room for the framing of small chunks; what counts is the body's own bound
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case len(body) > maxBody:
		return answer{}, fmt.Errorf("the answer from %s is longer than 1 MiB", addr)
	case err != nil:
		return answer{}, brokenError("no end of the answer from "+addr, addr, err)
	}
	return answer{from: addr, code: resp.StatusCode, location: resp.Header.Get("Location"), body: body}, nil
}

// dialError says why there is no connection.
func dialError(addr string, err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case dns.IsNotFound:
			return fmt.Errorf("no such host: %s", dns.Name)
		case timedOut(err):
			return late{"no address found for " + dns.Name}
		}
		return fmt.Errorf("no address found for %s: %s", dns.Name, dns.Err)
	}
	switch {
	case errors.Is(err, syscall.EAGAIN): // from a unix socket, at once; its Timeout is true
		return fmt.Errorf("%s takes no more connections: its queue is full", addr)
	case timedOut(err):
		return late{"no connection to " + addr}
	case errors.Is(err, syscall.ECONNREFUSED) && addr[0] == '@':
		return fmt.Errorf("no accountservice answers its probe here (%s): is it running? If it is, use -port", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s", addr)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("there is no socket %s", addr)
	}
	return fmt.Errorf("no connection to %s: %w", addr, cause(err))
}

// handshakeError says why there is no TLS.
func handshakeError(addr string, err error) error {
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of %s is not accepted: %w", addr, refused.Err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%s does not speak TLS", addr)
	}
	switch {
	case timedOut(err):
		return late{"no TLS handshake with " + addr}
	case peerClosed(err):
		return fmt.Errorf("%s closed the connection during the TLS handshake", addr)
	}
	return fmt.Errorf("no TLS with %s: %w", addr, cause(err))
}

// brokenError says why an exchange that had begun did not end.
func brokenError(what, addr string, err error) error {
	switch {
	case timedOut(err):
		return late{what}
	case peerClosed(err):
		return fmt.Errorf("%s: it closed the connection", what)
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", what, cause(broken))
	}
	return fmt.Errorf("%s: it does not speak HTTP", what)
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func peerClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// cause returns the error of the system, if there is one: the rest of the text
// only repeats the address.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}
