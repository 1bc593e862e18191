package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"
	"time"
)

const (
	maxHead = 64 << 10
	maxBody = 1 << 20
)

type answer struct {
	from   string // the address, for people
	code   int
	reason string // what follows the code, such as OK
	body   []byte
}

// ask makes one connection, sends one GET and reads the whole answer before the deadline, however slowly the peer sends
// it. Its errors are written for operators; after the deadline they are of type late.
//
// It writes and reads HTTP/1.1 itself. An http.Client would need to be told to use no proxy, follow no redirect, keep
// nothing alive and retry nothing, and a panic in one of its goroutines would be exit code 2. A process that links
// net/http takes a fifth longer to start.
func ask(to target, deadline time.Time) (answer, error) {
	conn, addr, err := dial(to, deadline)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return answer{}, fmt.Errorf("no deadline for %s: %w", addr, err)
	}
	if to.serverName != "" {
		secure := tls.Client(conn, &tls.Config{ServerName: to.serverName, RootCAs: to.roots, NextProtos: []string{"http/1.1"}})
		if err := secure.Handshake(); err != nil {
			return answer{}, noHandshake(addr, err)
		}
		conn = secure
	}
	if _, err := io.WriteString(conn, request(to, addr)); err != nil {
		return answer{}, broken("the request to "+addr+" was not taken", err)
	}
	return read(conn, addr)
}

// dial connects to the first address that can be reached. Its error is that of the first address tried.
func dial(to target, deadline time.Time) (conn net.Conn, addr string, first error) {
	dialer := net.Dialer{Deadline: deadline}
	for _, addr := range to.addrs {
		conn, err := dialer.Dial(to.network, addr)
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
		return fmt.Errorf("no accountservice answers its probe here (%s): none runs, or it was started with another "+
			"ACCOUNTSERVICE_HTTP_HOST, ACCOUNTSERVICE_HTTP_PORT or ACCOUNTSERVICE_CONFIG than this probe: give both the same, "+
			"or use -port", addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s", addr)
	}
	return broken("no connection to "+addr, err)
}

// request returns the head of the request, which has no body. A parsed URL has no control characters, but its query may
// have spaces.
func request(to target, addr string) string {
	host := cmp.Or(to.host, addr)
	if zone, end := strings.IndexByte(host, '%'), strings.IndexByte(host, ']'); 0 < zone && zone < end {
		host = host[:zone] + host[end:] // the zone of an IPv6 address is known on this machine alone
	}
	head := "GET " + strings.ReplaceAll(to.path.RequestURI(), " ", "%20") + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: healthchecker\r\nAccept: application/json\r\nConnection: close\r\n"
	if to.user != nil {
		password, _ := to.user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(to.user.Username() + ":" + password))
		head += "Authorization: Basic " + credentials + "\r\n"
	}
	for _, field := range to.fields {
		head += field.Name + ": " + field.Value + "\r\n"
	}
	return head + "\r\n"
}

// read reads one answer, within the bounds of header and body.
func read(conn io.Reader, addr string) (answer, error) {
	bounded := &io.LimitedReader{R: conn, N: maxHead}
	in := textproto.NewReader(bufio.NewReader(bounded))
	if first, _ := in.R.Peek(len(alert)); string(first) == alert {
		return answer{}, secured(addr)
	}
	head, err := readHead(in)
	for err == nil && head.code < 200 && head.code != 101 {
		head, err = readHead(in) // 100 and 103 come before the answer
	}
	switch {
	case err != nil && bounded.N <= 0:
		return answer{}, fmt.Errorf("the header of the answer from %s is longer than 64 KiB", addr)
	case err != nil:
		return answer{}, broken("no answer from "+addr, err)
	}

	bounded.N = 8 * maxBody // room for the framing of small chunks; what counts is the body's own bound
	body, err := head.readBody(in)
	switch {
	case err != nil:
		return answer{}, broken("no end of the answer from "+addr, err)
	case len(body) > maxBody:
		return answer{}, fmt.Errorf("the answer from %s is longer than 1 MiB", addr)
	case head.code == 400 && wantsTLS(body):
		return answer{}, secured(addr)
	}
	return answer{addr, head.code, head.reason, body}, nil
}

// alert begins the record of TLS that some servers send to who speaks no TLS.
const alert = "\x15\x03"

// wantsTLS knows the 400 that others send then: Go, and nginx or Apache.
func wantsTLS(body []byte) bool {
	return bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("plain HTTP"))
}

// secured is the error of a request in plain HTTP to a port that speaks TLS.
func secured(addr string) error {
	return fmt.Errorf("%s speaks TLS, and was asked in plain HTTP: use -url https://NAME:PORT/health, or for the "+
		"accountservice of this container no arguments", addr)
}

// noHandshake is the error of a failed TLS handshake, as with a port that speaks plain HTTP.
func noHandshake(addr string, err error) error {
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return fmt.Errorf("%s does not speak TLS: if it speaks plain HTTP, use -url http://NAME:PORT/health, or for the "+
			"accountservice of this container no arguments", addr)
	}
	err = broken("no TLS handshake with "+addr, err)
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return fmt.Errorf("%w; an authority of your own is named by -ca", err)
	}
	return err
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
