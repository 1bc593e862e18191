package dependency

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"

	"accountservice/internal/httpcheck"
)

// maxPage is the most that is read of a page, in bytes.
const maxPage = 1 << 20

// newHTTP asks by GET, or HEAD, and takes a 2xx as healthy, or what expect_status says, after the whole answer has
// come. Redirects are not followed and proxies not used. Parameters that are no options are sent to the service.
func newHTTP(t *target) question {
	wanted, body := t.statuses(), t.text("expect_body")
	method, host := t.word("method", http.MethodGet, http.MethodHead), t.text("host")
	addHeader := t.headerFile()
	expected := httpcheck.Body("expect_body", body)
	if method == http.MethodHead && body != "" {
		t.fault("has option expect_body, and an answer to HEAD has no body")
	}
	u := *t.url
	u.User, u.RawQuery = nil, t.passOn()
	user, password := t.login()
	e := exchange{method: method, url: u.String(), protocols: new(http.Protocols)}
	e.protocols.SetHTTP1(true)
	if t.tls != nil {
		e.protocols.SetHTTP2(true)
		t.tls.config.NextProtos = []string{"h2", "http/1.1"}
	}
	e.prepare = func(req *http.Request) error {
		if t.url.User != nil {
			req.SetBasicAuth(user, password)
		}
		if host != "" {
			req.Host = host
		}
		return addHeader(req.Header)
	}
	e.judge = func(resp *http.Response) error {
		content, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		switch {
		case !wanted(resp.StatusCode):
			return verdictf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		case len(content) > maxPage:
			return verdictf("its answer is longer than %d KiB: give the URL of a smaller page", maxPage>>10)
		case err != nil:
			return err
		}
		if err := expected(content); err != nil {
			return verdictf("%v", err)
		}
		return nil
	}
	return t.keep(e.open)
}

// exchange is a request, and what its answer means.
type exchange struct {
	method, url string
	body        []byte
	protocols   *http.Protocols
	prepare     func(*http.Request) error
	judge       func(*http.Response) error
}

type httpLink struct {
	*exchange
	*http.ClientConn
	s        *session
	answered bool
}

// open gives net/http the connection of s. What comes on it unasked net/http writes to package log, with its text:
// the program must discard that log.
func (e *exchange) open(ctx context.Context, at *phase, s *session) (link, error) {
	*at = waiting // HTTP/2 begins before the first request
	scheme, conn := "http", s.raw
	if s.tls != nil {
		if !e.protocols.HTTP1() && s.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != "h2" {
			*at = tlsHandshake
			return nil, verdictf("the server does not agree to HTTP/2 (ALPN), which gRPC needs")
		}
		scheme, conn = "https", s.Conn // net/http knows HTTP/2 by the type *tls.Conn alone
	}
	give := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{DialContext: give, DialTLSContext: give, Protocols: e.protocols,
		MaxResponseHeaderBytes: maxAnswer, DisableCompression: true}
	client, err := transport.NewClientConn(ctx, scheme, "given:0")
	l := &httpLink{e, client, s, false}
	return l, l.cause(ctx, err)
}

func (l *httpLink) ask(ctx context.Context, at *phase) error {
	*at = waiting
	if l.answered && l.Err() != nil {
		return io.EOF // it was cut while idle
	}
	req, err := http.NewRequestWithContext(ctx, l.method, l.url, bytes.NewReader(l.body))
	if err != nil {
		return verdictf("its URL can't be asked")
	}
	if err := l.prepare(req); err != nil {
		return err
	}
	req.Header.Set("User-Agent", "accountservice-health")
	resp, err := l.RoundTrip(req)
	if err != nil {
		return l.cause(ctx, err)
	}
	defer resp.Body.Close()
	l.answered = true
	*at = answer
	return l.cause(ctx, l.judge(resp))
}

// cause returns why net/http gave err: it hides the errors of its connection.
func (l *httpLink) cause(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // a line that the deadline cuts looks malformed
	case !l.answered && l.s.wantsCertificate.Load():
		return l.s.refusesCertificate()
	}
	return err
}

func (l *httpLink) goodbye() { l.ClientConn.Close() }
