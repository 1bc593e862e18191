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

type answer struct {
	from string // the address, for people
	code int
	body []byte
}

// ask makes one connection, sends one GET and reads the whole answer before ctx's deadline, however slowly the peer
// sends it. Its errors are written for operators; after the deadline they are of type late.
//
// It writes and reads HTTP/1.1 itself. An http.Client would need to be told to use no proxy, follow no redirect, keep
// nothing alive and retry nothing, and a panic in one of its goroutines would be exit code 2.
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
			return answer{}, broken("no TLS handshake with "+addr, err)
		}
		conn = secure
	}
	if err := request(to, addr).Write(conn); err != nil {
		return answer{}, broken("the request to "+addr+" was not taken", err)
	}
	return read(conn, addr)
}

// dial connects to the first address that can be reached. Its error is that of the first address tried.
func dial(ctx context.Context, to target) (conn net.Conn, addr string, first error) {
	for _, addr := range to.addrs {
		conn, err := (&net.Dialer{}).DialContext(ctx, to.network, addr)
		if err == nil {
			return conn, addr, nil
		}
		first = cmp.Or(first, dialError(addr, err))
	}
	return nil, "", first
}

func dialError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EAGAIN): // from a unix socket, at once; its Timeout is true
		return fmt.Errorf("%s takes no more connections: its queue is full", addr)
	case errors.Is(err, syscall.ECONNREFUSED) && addr[0] == '@':
		return fmt.Errorf("no accountservice answers its probe here (%s): start it with the HOST, PORT and CONFIG "+
			"variables of this probe, or use -port", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s", addr)
	}
	return broken("no connection to "+addr, err)
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
		return answer{}, broken("no answer from "+addr, err)
	}
	defer resp.Body.Close()

	bounded.N = 8 * maxBody // room for the framing of small chunks; what counts is the body's own bound
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case len(body) > maxBody:
		return answer{}, fmt.Errorf("the answer from %s is longer than 1 MiB", addr)
	case err != nil:
		return answer{}, broken("no end of the answer from "+addr, err)
	}
	return answer{addr, resp.StatusCode, body}, nil
}

// broken says what did not happen, and why.
func broken(what string, err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return late{what}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("%s: it closed the connection", what)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // the rest of its text only repeats the address
	}
	return fmt.Errorf("%s: %w", what, err)
}
