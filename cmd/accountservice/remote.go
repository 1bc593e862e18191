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
	for pause := 250 * time.Millisecond; ; pause *= 2 {
		n, err = r.post(ctx, lines)
		var again *later
		if err == nil || !errors.As(err, &again) {
			return n, err
		}
		wait := min(max(pause, again.after), longestPause)
		if time.Now().Add(wait).After(giveUp) {
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

// later is an error that may be none the next time.
// Nobody knows whether the service did what was asked.
type later struct {
	after time.Duration // at least
	err   error
}

func (l *later) Error() string        { return l.err.Error() }
func (l *later) Unwrap() error        { return l.err }
func (l *later) Is(target error) bool { return target == store.ErrOutcomeUnknown }

func (r *remote) post(ctx context.Context, lines []byte) (n store.Imported, err error) {
	target := r.base.JoinPath("accounts:import")
	if r.dryRun {
		target.RawQuery = "dry_run=true"
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(lines))
	if err != nil {
		return n, err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := r.client.Do(req)
	if err != nil {
		return n, &later{err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return n, refusal(resp)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&n)
	if err != nil {
		return n, &later{err: fmt.Errorf("reading the service's answer: %w", err)}
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
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &later{time.Duration(seconds) * time.Second, err}
	case http.StatusUnprocessableEntity:
		return &transfer.Rejected{Faults: p.Errors, Err: err}
	}
	return err
}
