package dependency

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxPage is the most that is read of a page, in bytes.
const maxPage = 1 << 20

// newHTTP asks by GET and takes a 2xx as healthy, or what expect_status says, after the whole answer has come.
// Redirects are not followed and proxies not used. Parameters that are no options are sent to the service.
func newHTTP(t *target) question {
	wanted := t.statuses()
	u := *t.url
	u.User, u.RawQuery = nil, t.passOn()
	user, password := t.login()
	e := exchange{protocols: new(http.Protocols)}
	e.protocols.SetHTTP1(true)
	if t.tls != nil {
		e.protocols.SetHTTP2(true)
		t.tls.config.NextProtos = []string{"h2", "http/1.1"}
	}
	e.request = func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err == nil && t.url.User != nil {
			req.SetBasicAuth(user, password)
		}
		return req, err
	}
	e.judge = func(resp *http.Response) error {
		n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxPage+1))
		switch {
		case !wanted(resp.StatusCode):
			return verdictf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		case err == nil && n > maxPage:
			return verdictf("its answer is longer than %d KiB: give the URL of a smaller page", maxPage>>10)
		}
		return err
	}
	return t.keep(e.open)
}

type exchange struct {
	protocols *http.Protocols
	request   func(context.Context) (*http.Request, error)
	judge     func(*http.Response) error
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
		scheme, conn = "https", s.Conn // net/http knows HTTP/2 by the type *tls.Conn alone
	}
	give := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{DialContext: give, DialTLSContext: give, Protocols: e.protocols,
		MaxResponseHeaderBytes: maxAnswer}
	client, err := transport.NewClientConn(ctx, scheme, "given:0")
	l := &httpLink{e, client, s, false}
	return l, l.cause(ctx, err)
}

func (l *httpLink) ask(ctx context.Context, at *phase) error {
	*at = waiting
	if l.answered && l.Err() != nil {
		return io.EOF // it was cut while idle
	}
	req, err := l.request(ctx)
	if err != nil {
		return verdictf("its URL can't be asked")
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
		return errWantsCertificate
	}
	return err
}

func (l *httpLink) close() { l.ClientConn.Close() }

// statuses reads expect_status: codes and ranges of them, such as 200-299,401.
func (t *target) statuses() (wanted func(code int) bool) {
	var ranges [][2]int
	for part := range strings.SplitSeq(cmp.Or(t.text("expect_status"), "200-299"), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 200 || last > 599 || first > last {
			t.fault("must have codes from 200 to 599 as its option expect_status, or ranges of them, such as 200-299,401")
			break
		}
		ranges = append(ranges, [2]int{first, last})
	}
	return func(code int) bool {
		return slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
	}
}
