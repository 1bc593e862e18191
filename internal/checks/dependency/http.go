package dependency

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxPage is the most that is read of a page, in bytes. It need not be small, but
// to end.
const maxPage = 1 << 20

// newHTTP asks by GET and takes a 2xx as healthy, or what expect_status says,
// after the whole answer has come. Redirects are not followed, proxies not
// used, and certificates verified; one connection is kept between two runs.
// Parameters that are no options are the service's.
func newHTTP(t *target) (question, error) {
	var secure *secure
	var badTLS error
	if t.url.Scheme == "https" {
		secure, badTLS = t.tls()
	}
	c := newClient(t.timeout, secure)
	wanted, badStatus := t.statuses()
	u := *t.url
	u.RawQuery = t.options.passOn()
	ask := func(ctx context.Context, at *phase) error {
		resp, err := c.do(ctx, at, http.MethodGet, u.String(), nil, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		at.set(body)
		n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxPage+1))
		switch {
		case !wanted.has(resp.StatusCode):
			return verdictf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		case err != nil:
			return err
		case n > maxPage:
			return verdictf("its answer is longer than %d KiB: give the URL of a smaller page", maxPage>>10)
		case secure == nil:
			return nil
		}
		return secure.warning(resp.TLS)
	}
	return c.alive(ask), errors.Join(t.needHost(), badTLS, badStatus)
}

// client is an HTTP client that keeps one connection.
type client struct {
	http.Client
	conn atomic.Pointer[watched]         // opened last
	run  atomic.Pointer[context.Context] // that asks now
}

// newClient speaks TLS if secure is not nil.
func newClient(timeout time.Duration, secure *secure) *client {
	c := &client{}
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return c.dial(ctx, addr, timeout, secure) }
	transport := &http.Transport{
		DialContext:            dial,
		DialTLSContext:         dial,
		IdleConnTimeout:        maxIdle,
		MaxIdleConns:           1,
		MaxConnsPerHost:        1,
		MaxResponseHeaderBytes: maxAnswer,
		ForceAttemptHTTP2:      true,
	}
	if secure != nil {
		transport.TLSClientConfig = secure.config // it adds the names of the protocols
	}
	c.Transport = transport
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// dial connects for the transport, whose own ctx does not end with the run.
func (c *client) dial(ctx context.Context, addr string, timeout time.Duration, secure *secure) (net.Conn, error) {
	run := c.run.Load()
	if run == nil {
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(*run, cancel)()
	conn, err := dial(ctx, addr, timeout)
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: conn, asked: make(chan struct{}), left: make(chan struct{})}
	w.begin()
	conn = w
	if secure != nil {
		w.secured = tls.Client(w, secure.config) // the transport makes the handshake
		conn = w.secured
	}
	c.conn.Store(w)
	if c.run.Load() == nil {
		w.Close()
		return nil, context.DeadlineExceeded
	}
	return conn, nil
}

func (c *client) transport() *http.Transport { return c.Transport.(*http.Transport) }

// alive lets go of the connection of a run that had no answer: HTTP/2 would
// only end the request, and ask again on a connection that leads nowhere. If it
// was a kept one that had been cut, the run asks once more on another.
func (c *client) alive(ask question) question {
	return func(ctx context.Context, at *phase) error {
		err := c.attempt(ctx, at, ask)
		if err != nil && at.reused.Swap(false) && wasCut(err) {
			return c.attempt(ctx, at, ask)
		}
		return err
	}
}

// attempt asks once, not on a connection that is too old, and ends the connection
// if the service did not answer; one that comes later is ended by who dials it.
func (c *client) attempt(ctx context.Context, at *phase, ask question) error {
	if conn := c.conn.Load(); conn != nil && conn.over() {
		c.transport().CloseIdleConnections() // with a word to the service
		conn.end()
	}
	c.run.Store(&ctx)
	err := ask(ctx, at)
	c.run.Store(nil)
	var answered *verdict
	if err == nil || isWarning(err) || errors.As(err, &answered) {
		if conn := c.conn.Load(); conn != nil {
			conn.note(err)
		}
		return err
	}
	if conn := c.conn.Swap(nil); conn != nil {
		conn.end()
		err = cmp.Or(conn.refusal(), err)
	}
	return err
}

// watched is a connection that knows when the transport has left it, and gives
// it nothing before it has asked: it would log that.
type watched struct {
	net.Conn
	life
	secured     *tls.Conn // over it, or nil
	first, last sync.Once
	asked, left chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	<-w.asked
	return w.Conn.Read(p)
}

func (w *watched) Write(p []byte) (int, error) {
	w.first.Do(func() { close(w.asked) })
	return w.Conn.Write(p)
}

func (w *watched) Close() error {
	err := w.Conn.Close()
	w.first.Do(func() { close(w.asked) })
	w.last.Do(func() { close(w.left) })
	return err
}

// end closes the connection and gives the transport a moment to see that, so
// that the next request is not made on it.
func (w *watched) end() {
	w.Conn.Close()
	w.first.Do(func() { close(w.asked) })
	moment := time.NewTimer(50 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-w.left:
	case <-moment.C:
	}
}

// refusal is what is wrong with TLS on an ended connection, if anything is. What
// HTTP/2 reads before it is asked it does not give on.
func (w *watched) refusal() error {
	if w.secured == nil {
		return nil
	}
	_, err := w.secured.Read(make([]byte, 1)) // says its last error again
	if _, is := describeTLS(err); is {
		return err
	}
	return nil
}

// do makes one request. Its errors hold no URL.
func (c *client) do(ctx context.Context, at *phase, method, url string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, at.trace()), method, url, body)
	if err != nil {
		return nil, verdictf("its URL can't be asked")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "accountservice-health")
	return c.Client.Do(req) // its *url.Error is never shown: see describe
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
			return nil, errors.New("must have codes from 200 to 599 as its option expect_status, or ranges of them, such as 200-299,401")
		}
		spans = append(spans, [2]int{first, last})
	}
	return spans, nil
}
