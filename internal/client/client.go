// Package client owns how the service is asked over HTTP: its address, the timeouts, which answers are believed, and
// when a request is sent again. It knows the lines of accounts and the errors of the store contract, nothing of
// commands, files or terminals.
//
// A server may send anything: the text of every error is one printable line.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"accountservice/internal/excerpt"
	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

const (
	dialTimeout = 5 * time.Second // of TCP, and of TLS after it
	// silenceTimeout bounds the wait for the first and for the next bytes of an answer.
	silenceTimeout = time.Minute

	maxAnswer = 1 << 20 // bytes; not of an export

	linesType = "application/x-ndjson"
)

// Client asks one service. It may be used by several goroutines.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New returns a client of the service at address, an http or https URL, that shows it this token unless it is "". Its
// error does not repeat the address, which may hold a password.
func New(address, token string) (*Client, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" ||
		base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("must be the address of a service, such as http://localhost:6767, or of its operators' " +
			"listener, such as http://localhost:6768")
	}
	if err := refuseProxy(base, token); err != nil {
		return nil, err
	}
	return &Client{base, token, httpClient(silenceTimeout)}, nil
}

// Within returns ctx with an end after limit, which a request that meets it tells in words for people.
func Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the service did not answer within %s: it hangs, or it or its "+
		"machine is overloaded", limit))
}

// httpClient returns a client whose requests fail when the service sends nothing for so long.
func httpClient(silence time.Duration) *http.Client {
	return &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
			return watchedConn{conn, silence}, err
		},
		TLSHandshakeTimeout: dialTimeout,
		DisableCompression:  true,
	}}
}

// refuseProxy returns an error if a proxy of the environment would read the token or the password of a request. Over
// https it reads nothing: it only passes the connection on.
func refuseProxy(base *url.URL, token string) error {
	if base.Scheme != "http" || token == "" && base.User == nil {
		return nil
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	if err == nil && proxy != nil {
		err = fmt.Errorf("the proxy %s of HTTP_PROXY would read the token: use https, or name %s in NO_PROXY",
			proxy.Host, base.Hostname())
	}
	return err
}

// send sends a request whose body is of the media type kind, or which has none. It shows the token to this service
// alone. The caller closes the body of the answer.
func (c *Client) send(ctx context.Context, method string, to *url.URL, kind string, body []byte) (*http.Response, *failure) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &failure{err: err}
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &failure{err: reached(err)}
	}
	if to.Scheme == "http" && resp.StatusCode == http.StatusBadRequest && wantsTLS(resp) {
		resp.Body.Close()
		return nil, &failure{err: fmt.Errorf("%s %w: give its address with https://", to.Host, errSpeaksTLS)}
	}
	return resp, nil
}

var errSpeaksTLS = errors.New("speaks TLS")

// wantsTLS knows the 400 with which a server that speaks TLS answers plain HTTP: Go, and nginx or Apache. The body can
// still be read.
func wantsTLS(resp *http.Response) bool {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), resp.Body}
	return bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("plain HTTP"))
}

// watchedConn fails when nothing comes for so long while it is read. What was read may be used as slowly as one likes.
type watchedConn struct {
	net.Conn
	silence time.Duration
}

func (c watchedConn) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(c.silence)) // an error is that of the read too
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the service sends nothing any more, for %s: %w", c.silence, os.ErrDeadlineExceeded)
	}
	return n, err
}

func (c watchedConn) Write(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(c.silence)) // of the read that waits already for the answer
	return c.Conn.Write(p)
}

// noRedirect makes a redirect the answer: the request may carry accounts and a password, which another host must not
// get.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// distrusted is true if what was reached has no certificate that is trusted, or speaks TLS where the address says http, or
// none where it says https: nothing was done, and another try finds the same.
func distrusted(err error) bool {
	_, is := errors.AsType[*tls.CertificateVerificationError](err)
	return is || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, errSpeaksTLS)
}

// reached adds the cure to the error of a request if there is no such service, or its certificate is not trusted.
func reached(err error) error {
	if dial, is := errors.AsType[*net.OpError](err); is && errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens on %s: check the address, and that the service runs: %w", dial.Addr, dial.Err)
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return fmt.Errorf("%w; an authority of your own is named by the variable SSL_CERT_FILE", err)
	}
	return err
}

// failure is why a request did not do what was asked, as far as the client knows.
type failure struct {
	err     error
	unknown bool          // the service may have done it
	again   bool          // another try may succeed
	after   time.Duration // but not before this time has passed
}

func (f *failure) Error() string        { return excerpt.Line(f.err.Error()) }
func (f *failure) Unwrap() error        { return f.err }
func (f *failure) Is(target error) bool { return f.unknown && target == store.ErrOutcomeUnknown }

// refusal is the failure that an answer other than 200 tells.
func refusal(resp *http.Response) *failure {
	var p struct {
		Title, Detail string
		Errors        []transfer.Fault
		Imported      any // the detail is about lines of the request, not of the input
	}
	json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p) // without a problem, the status says it
	words := p.Detail
	switch {
	case p.Imported != nil:
		words = p.Title
	case resp.StatusCode/100 == 3:
		words = "is not followed to " + resp.Header.Get("Location")
	case resp.StatusCode == http.StatusUnauthorized:
		words += " Give one by --token-file or ACCOUNTSERVICE_TOKEN"
	}
	status := resp.StatusCode
	err := fmt.Errorf("%s: %d %s %s", resp.Request.URL.Redacted(), status, http.StatusText(status), words)
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	after := time.Duration(seconds) * time.Second
	switch status {
	case http.StatusTooManyRequests:
		return &failure{err: err, again: true, after: max(after, firstPause)}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return &failure{err: err, unknown: true, again: true, after: after}
	case http.StatusUnprocessableEntity:
		for i, f := range p.Errors {
			p.Errors[i].Pointer, p.Errors[i].Detail = excerpt.Line(f.Pointer), excerpt.Line(f.Detail)
		}
		return &failure{err: &transfer.Rejected{Faults: p.Errors, Err: err}}
	default: // a 500 or a proxy's status says nothing of what was done
		return &failure{err: err, unknown: status >= 500}
	}
}

// refusalToOperator is refusal, of what only the operators' listener does.
func refusalToOperator(resp *http.Response) *failure {
	f := refusal(resp)
	if resp.StatusCode == http.StatusNotFound {
		f.err = fmt.Errorf("%w: give the address of the operators' listener (admin.addr)", f.err)
	}
	return f
}
