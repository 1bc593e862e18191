package dependency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// maxBody is as much of an answer as is read to keep its connection.
const maxBody = 64 << 10

// newHTTP asks by GET and takes a 2xx as healthy, after the whole answer has
// come. Redirects are not followed, proxies not used, and certificates
// verified; one connection is kept between two runs.
func newHTTP(u *url.URL, timeout time.Duration) (func(context.Context) error, error) {
	if u.Host == "" {
		return nil, errors.New("no host in the URL")
	}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
			TLSHandshakeTimeout:    timeout,
			MaxIdleConns:           1,
			MaxConnsPerHost:        1,
			MaxResponseHeaderBytes: maxBody,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		var at phase
		err := get(ctx, client, u, &at)
		if err == nil {
			return nil
		}
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a secret
		}
		var late net.Error
		var ours *verdict
		switch {
		case errors.As(err, &late) && late.Timeout(): // a deadline is one, too
			return fmt.Errorf("%s: no answer in time", at.name())
		case at.n.Load() >= request && !isNetwork(err) && !errors.As(err, &ours):
			// the parser's words repeat what the peer sent
			return fmt.Errorf("%s: it is not HTTP, or too long a header", at.name())
		}
		return fmt.Errorf("%s: %w", at.name(), err)
	}, nil
}

// verdict is what an answer that was understood is worth.
type verdict struct{ text string }

func (v *verdict) Error() string { return v.text }

// isNetwork says whether err comes from the connection, not from what came
// through it.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func get(ctx context.Context, client *http.Client, u *url.URL, at *phase) error {
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, at.trace()), http.MethodGet, u.String(), nil)
	if err != nil {
		return errors.New("not a URL that can be asked")
	}
	req.Header.Set("User-Agent", "accountservice-health")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	at.set(body)
	switch n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return &verdict{fmt.Sprintf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	case err != nil:
		return err
	case n == maxBody:
		return &verdict{fmt.Sprintf("its answer is longer than %d KiB", maxBody>>10)}
	}
	return nil
}

// phase is how far a request has come; the transport sets it from goroutines
// of its own.
type phase struct{ n atomic.Int32 }

const (
	waiting int32 = iota
	name
	connect
	tlsHandshake
	request
	firstByte
	body
)

func (p *phase) set(n int32) { p.n.Store(n) }

func (p *phase) name() string {
	return [...]string{"waiting for a connection", "name lookup", "connect", "TLS handshake", "request", "waiting for the answer", "answer"}[p.n.Load()]
}

func (p *phase) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { p.set(name) },
		ConnectStart:      func(string, string) { p.set(connect) },
		TLSHandshakeStart: func() { p.set(tlsHandshake) },
		GotConn:           func(httptrace.GotConnInfo) { p.set(request) },
		WroteRequest:      func(httptrace.WroteRequestInfo) { p.set(firstByte) },
	}
}
