package dependency

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"os"
	"time"
)

// resolver asks the system's name servers and lets go of their sockets when
// ctx ends: Go's own would keep them for its 5 s.
func resolver(ctx context.Context, server string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(inner context.Context, network, addr string) (net.Conn, error) {
			if server != "" {
				addr = server
			}
			conn, err := (&net.Dialer{}).DialContext(untraced{inner}, network, addr) // it is no connect
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			return conn, nil
		},
	}
}

// untraced is a context whose trace is told nothing.
type untraced struct{ context.Context }

func (untraced) Value(any) any { return nil }

// dial opens a connection to addr, in about this time. It tries the addresses of
// a name one after the other, never two at once.
func dial(ctx context.Context, addr string, timeout time.Duration) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	addrs, err := resolver(ctx, "").LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	return reach(ctx, addrs, port, max(timeout-time.Since(began), timeout/4))
}

// reach connects to the first of these addresses that lets it. Each has the same
// part of the time, and the last one what is left: package net would wait at
// least 2 s for the first, which is more than most runs have.
func reach(ctx context.Context, addrs []net.IPAddr, port string, left time.Duration) (net.Conn, error) {
	var first error
	for i, addr := range addrs {
		turn, cancel := ctx, func() {}
		if i < len(addrs)-1 {
			turn, cancel = context.WithTimeout(ctx, left/time.Duration(len(addrs)))
		}
		conn, err := (&net.Dialer{}).DialContext(timeless{turn}, "tcp", net.JoinHostPort(addr.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// timeless is a context that ends and does not say when. Package net would set
// that on the socket, by the clock on the wall; a run ends when it has had its
// time, which a process that is given no CPU has not.
type timeless struct{ context.Context }

func (timeless) Deadline() (at time.Time, known bool) { return time.Time{}, false }

// open is dial, with the TLS handshake if secure is not nil.
func (t *target) open(ctx context.Context, at *phase, usualPort string, secure *secure) (net.Conn, error) {
	at.set(name)
	conn, err := dial(httptrace.WithClientTrace(ctx, at.trace()), t.addr(usualPort), t.timeout)
	if err != nil || secure == nil {
		return conn, err
	}
	return secure.handshake(ctx, at, conn)
}

// secure is how TLS is spoken with a service.
type secure struct {
	config *tls.Config
	asked  bool // by an option of its own
	warn   time.Duration
}

// tls reads the options of TLS. Certificates are always verified; server_name
// is the name they are verified for, ca_file who signs them, and cert_warn when
// to warn before their end.
func (t *target) tls() (*secure, error) {
	file, named, badFile := t.options.take("ca_file")
	server, renamed, badName := t.options.take("server_name")
	warn, badWarn := t.options.duration("cert_warn", 14*24*time.Hour)
	s := &secure{config: &tls.Config{ServerName: t.url.Hostname()}, asked: named || renamed, warn: warn}
	if renamed {
		s.config.ServerName = server
	}
	if named && badFile == nil {
		s.config.RootCAs, badFile = readRoots(file)
	}
	return s, errors.Join(badFile, badName, badWarn)
}

// readRoots reads PEM certificates, at most 1 MiB of them.
func readRoots(file string) (*x509.CertPool, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, errors.New("names a file in option ca_file that can't be found: is it mounted, and the name right?")
	case !info.Mode().IsRegular() || info.Size() > 1<<20:
		return nil, errors.New("names in option ca_file what is no regular file of at most 1 MiB")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("names a file in option ca_file that can't be read: see its owner and mode")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errors.New("names a file in option ca_file without a PEM certificate")
	}
	return roots, nil
}

// handshake makes a TLS connection of conn, which is closed if that fails.
func (s *secure) handshake(ctx context.Context, at *phase, conn net.Conn) (net.Conn, error) {
	at.set(tlsHandshake)
	secured := tls.Client(conn, s.config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// look warns of a certificate that ends soon. conn may be any connection.
func (s *secure) look(conn net.Conn) error {
	if secured, is := conn.(*tls.Conn); is && s != nil {
		state := secured.ConnectionState()
		return s.warning(&state)
	}
	return nil
}

// warning is about the first certificate to end in the chain that holds longest.
func (s *secure) warning(state *tls.ConnectionState) error {
	if s.warn == 0 || state == nil {
		return nil
	}
	var end time.Time
	for _, chain := range state.VerifiedChains {
		first := chain[0].NotAfter
		for _, certificate := range chain {
			if certificate.NotAfter.Before(first) {
				first = certificate.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	left := time.Until(end)
	switch {
	case end.IsZero() || left > s.warn:
		return nil
	case left <= 0:
		return &warning{"its certificate ended on " + day(end) + ": the next connection will fail"}
	}
	return &warning{fmt.Sprintf("its certificate ends on %s, in %d days", day(end), int(left.Hours()/24))}
}

func describeExpired(certificate *x509.Certificate) string {
	switch {
	case certificate == nil:
	case time.Now().Before(certificate.NotBefore):
		return "its certificate is not valid before " + day(certificate.NotBefore)
	default:
		return "its certificate ended on " + day(certificate.NotAfter)
	}
	return "its certificate is not valid now"
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
