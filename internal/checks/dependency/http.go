package dependency

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxPage is the most that is read of a page, in bytes.
const maxPage = 1 << 20

// newHTTP asks by GET and takes a 2xx as healthy, or what expect_status says, after the whole answer has come.
// Redirects are not followed and proxies not used. Parameters that are no options are the service's.
func newHTTP(t *target) (question, error) {
	wanted, badStatus := t.statuses()
	u := *t.url
	u.User, u.RawQuery = nil, t.options.passOn()
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
		case !wanted.has(resp.StatusCode):
			return verdictf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		case err == nil && n > maxPage:
			return verdictf("its answer is longer than %d KiB: give the URL of a smaller page", maxPage>>10)
		}
		return err
	}
	return t.keep(e.open), errors.Join(t.needHost(), badStatus)
}

// exchange is one request and what its answer means.
type exchange struct {
	protocols *http.Protocols
	request   func(context.Context) (*http.Request, error)
	judge     func(*http.Response) error
}

// httpLink is a connection to an HTTP server.
type httpLink struct {
	*exchange
	*http.ClientConn
	secured  *secured // nil without TLS
	answered bool
}

// open gives net/http the connection of s.
func (e *exchange) open(ctx context.Context, at *phase, s *session) (link, error) {
	*at = waiting // HTTP/2 begins before the first request
	l := &httpLink{exchange: e}
	scheme, conn := "http", net.Conn(&listener{Conn: s.raw, asked: make(chan struct{})})
	if c, is := s.Conn.(*secured); is {
		scheme, conn, l.secured = "https", c.Conn, c // net/http knows HTTP/2 by the type *tls.Conn alone
	}
	give := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{DialContext: give, DialTLSContext: give, Protocols: e.protocols,
		MaxResponseHeaderBytes: maxAnswer}
	var err error
	l.ClientConn, err = transport.NewClientConn(ctx, scheme, "given:0")
	return l, l.refusal(ctx, err)
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
		return l.refusal(ctx, err)
	}
	defer resp.Body.Close()
	l.answered = true
	*at = answer
	return l.judge(resp)
}

// refusal does for net/http, whose errors may hide those of the connection, what secured does for all others.
func (l *httpLink) refusal(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && l.secured != nil && l.secured.asked && !l.answered {
		return errWantsCertificate
	}
	return err
}

func (l *httpLink) close() { l.ClientConn.Close() }

// listener is a connection on which nothing is read before the first write: net/http logs what it reads then.
type listener struct {
	net.Conn
	once  sync.Once
	asked chan struct{}
}

func (l *listener) Read(p []byte) (int, error) {
	<-l.asked
	return l.Conn.Read(p)
}

func (l *listener) Write(p []byte) (int, error) {
	l.once.Do(func() { close(l.asked) })
	return l.Conn.Write(p)
}

func (l *listener) Close() error {
	err := l.Conn.Close()
	l.once.Do(func() { close(l.asked) })
	return err
}

// ranges of status codes.
type ranges [][2]int

func (r ranges) has(code int) bool {
	for _, span := range r {
		if span[0] <= code && code <= span[1] {
			return true
		}
	}
	return false
}

// statuses reads expect_status: codes and ranges of them, such as 200-299,401.
func (t *target) statuses() (ranges, error) {
	text, err := t.options.text("expect_status")
	if text == "" || err != nil {
		return ranges{{200, 299}}, err
	}
	var spans ranges
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 200 || last > 599 || first > last {
			return nil, errors.New("must have codes from 200 to 599 as its option expect_status, or ranges of them, " +
				"such as 200-299,401")
		}
		spans = append(spans, [2]int{first, last})
	}
	return spans, nil
}
