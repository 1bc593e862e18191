package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

const (
	// patience is how long one request is tried anew before an import gives up.
	patience = 2 * time.Minute
	// longestPause bounds what a service can ask for by Retry-After.
	longestPause = 30 * time.Second
	// answerTimeout bounds the wait for an answer, after the request is sent, and
	// requestTimeout all of it; an export has longestSilence instead.
	answerTimeout  = 30 * time.Second
	requestTimeout = time.Minute
	maxAnswer      = 1 << 20 // bytes of one, an export's lines apart
	// longestSilence is how long an export waits for its next byte.
	longestSilence = time.Minute
	mediaType      = "application/x-ndjson" // of lines
)

// remote is a running service.
type remote struct {
	base    *url.URL
	client  *http.Client
	silence time.Duration // longestSilence

	dryRun bool
	stop   <-chan struct{}                  // ends the wait between two tries
	say    func(format string, args ...any) // why there is a wait
}

var _ transfer.Target = (*remote)(nil)

// newRemote takes the address that --url gave.
func newRemote(address string) (*remote, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("--url: must be the address of a service, such as http://localhost:6767") // it may hold a password
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: answerTimeout,
		DisableCompression:    true,
	}
	return &remote{base: base, client: &http.Client{Transport: transport}, silence: longestSilence}, nil
}

// Import implements transfer.Target: a batch is a request, sent again while the
// service says or seems to be away.
func (r *remote) Import(ctx context.Context, accounts []store.Account) (n store.Imported, err error) {
	lines, err := transfer.Encode(accounts)
	if err != nil {
		return n, err
	}
	giveUp := time.Now().Add(patience)
	unknown := false // whether one of the tries may have stored the batch
	for pause := 250 * time.Millisecond; ; pause *= 2 {
		n, err = r.post(ctx, lines, len(accounts))
		if err == nil {
			return n, nil
		}
		unknown = unknown || errors.Is(err, store.ErrOutcomeUnknown)
		var miss *missed
		again := errors.As(err, &miss) && miss.again
		wait := pause
		if again {
			wait = min(max(pause, miss.after), longestPause)
		}
		if unknown && !errors.Is(err, store.ErrOutcomeUnknown) {
			err = &missed{err: err, unknown: true}
		}
		if !again || time.Now().Add(wait).After(giveUp) {
			return n, err
		}
		r.say("%v; trying again in %s", err, wait)
		select {
		case <-r.stop:
			return n, err
		case <-time.After(wait):
		}
	}
}

// missed is the error of a request that did not do what was asked, as far as
// the command can tell.
type missed struct {
	err     error
	unknown bool          // the service may have done it all the same
	again   bool          // it may be done the next time
	after   time.Duration // which is that far away at least
}

func (m *missed) Error() string        { return m.err.Error() }
func (m *missed) Unwrap() error        { return m.err }
func (m *missed) Is(target error) bool { return m.unknown && target == store.ErrOutcomeUnknown }

// post sends the lines of so many accounts.
func (r *remote) post(ctx context.Context, lines []byte, accounts int) (n store.Imported, err error) {
	target := r.base.JoinPath("accounts:import")
	if r.dryRun {
		target.RawQuery = "dry_run=true"
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	connected := false // before that, nothing is sent
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(lines))
	if err != nil {
		return n, err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := r.client.Do(req)
	if err != nil {
		return n, &missed{err: err, unknown: connected, again: true}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return n, refusal(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return n, &missed{err: fmt.Errorf("reading the service's answer: %w", err), unknown: true, again: true}
	}
	if err := json.Unmarshal(answer, &n); err != nil || n.Created+n.Replaced+n.Unchanged != accounts {
		err := fmt.Errorf("%s: the answer is not of accounts:import: it does not count the %d accounts that were sent", resp.Request.URL.Redacted(), accounts)
		return store.Imported{}, &missed{err: err, unknown: true}
	}
	return n, nil
}

// refusal is the error that an answer tells.
func refusal(resp *http.Response) error {
	var p struct {
		Title, Detail string
		Errors        []transfer.Fault
		Imported      any // its detail is about lines of the request, not of the input
	}
	json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p) // what is no problem is its status alone
	why := p.Detail
	if p.Imported != nil {
		why = p.Title
	}
	err := fmt.Errorf("%s: %s %s", resp.Request.URL.Redacted(), resp.Status, strings.TrimSpace(why))
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	after := time.Duration(seconds) * time.Second
	switch status := resp.StatusCode; status {
	case http.StatusTooManyRequests:
		return &missed{err: err, again: true, after: after}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		return &missed{err: err, unknown: true, again: true, after: after}
	case http.StatusUnprocessableEntity:
		return &transfer.Rejected{Faults: p.Errors, Err: err}
	default:
		return &missed{err: err, unknown: status >= 500} // as of an error that no one foresaw, or a proxy's
	}
}
