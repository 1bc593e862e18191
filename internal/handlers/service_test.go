package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/tests/harness"
)

// service is the routes over a real store and a real runner.
type service struct {
	*httptest.Server
	store store.Store
	log   *harness.Buffer
}

// openBolt opens a database until the test ends, with so many accounts if it is new.
func openBolt(tb testing.TB, path string, accounts int) *boltstore.Store {
	tb.Helper()
	bolt, err := boltstore.Open(tb.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	harness.Must(tb, err)
	tb.Cleanup(func() { harness.Must(tb, bolt.Close(context.Background())) })
	_, err = bolt.Seed(tb.Context(), store.Fakes(accounts))
	harness.Must(tb, err)
	return bolt
}

// serve starts the routes over 100 accounts; spoil, if not nil, wraps the store.
func serve(t *testing.T, spoil func(store.Store) store.Store) service {
	t.Helper()
	return serveWith(t, spoil, nil)
}

// serveWith does so with other settings, if set is not nil.
func serveWith(t *testing.T, spoil func(store.Store) store.Store, set func(*handlers.Options)) service {
	t.Helper()
	bolt := openBolt(t, filepath.Join(t.TempDir(), "accounts.db"), 100)
	var accounts store.Store = bolt
	if spoil != nil {
		accounts = spoil(bolt)
	}
	log := &harness.Buffer{}
	opts := over(accounts)
	opts.Live.SetHealth(runner(t, bolt.Check))
	opts.Version, opts.Log = "1.2.3", slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if set != nil {
		set(&opts)
	}
	s := serveHandler(t, handlers.New(opts))
	s.store, s.log = accounts, log
	return s
}

// serveHandler serves a handler until the test ends.
func serveHandler(t *testing.T, h http.Handler) service {
	t.Helper()
	s := service{Server: httptest.NewServer(h)}
	t.Cleanup(s.Close)
	return s
}

// check is one that runs once in a test; one that fails or passes has that status at once.
func check(name string, onFailure checks.Consequence, run func(context.Context) error) checks.Check {
	return checks.Check{Name: name, OnFailure: onFailure, Run: run, Interval: time.Minute, Timeout: 20 * time.Second, // a busy machine fails nothing here
		FailAfter: 1, PassAfter: 1, StaleAfter: time.Hour}
}

func passes(context.Context) error { return nil }

// fails is a check's run that fails so.
func fails(text string) func(context.Context) error {
	return func(context.Context) error { return errors.New(text) }
}

// runner runs one restart check named bolt and one failing degrade check
// named users, until their first results are published.
func runner(t *testing.T, run func(context.Context) error) *checks.Runner {
	t.Helper()
	return runChecks(t, func(all []checks.CheckHistory) bool {
		return !slices.ContainsFunc(all, func(c checks.CheckHistory) bool { return c.Finished == nil })
	}, check("bolt", checks.Restart, run), check("users", checks.Degrade, fails("connect: refused")))
}

// runChecks runs these checks until the test ends, and returns when their results are so.
func runChecks(tb testing.TB, so func([]checks.CheckHistory) bool, list ...checks.Check) *checks.Runner {
	tb.Helper()
	component := checks.Component{Name: "accountservice", Version: "1.2.3"}
	r, err := checks.New(component, slog.New(slog.DiscardHandler), list...)
	harness.Must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	tb.Cleanup(func() { cancel(); <-done })
	if !harness.Until(30*time.Second, func() bool { all := r.Snapshot().Checks; return len(all) == len(list) && so(all) }) {
		tb.Fatalf("the checks have %+v", r.Snapshot())
	}
	return r
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// do is send, and fails the test if the document does not have the status of the answer.
func (s service) do(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	r := s.send(t, method, path, body, headers...)
	r.isDocumented(t, method, r.Request.URL.EscapedPath())
	return r
}

// isDocumented fails the test if the documents have the operation and not the status of r.
func (r reply) isDocumented(t *testing.T, method, path string) {
	t.Helper()
	statuses := documented().of(method, path)
	if len(statuses) > 0 && statuses[strconv.Itoa(r.StatusCode)] == nil {
		t.Errorf("%s %s = %d, which the document does not have: add it to the operation's errors", method, path, r.StatusCode)
	}
}

// send sends a request and returns the answer.
func (s service) send(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, reader)
	harness.Must(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Transport.RoundTrip(req) // no redirects
	harness.Must(t, err)
	return read(t, resp)
}

// read reads the body of an answer.
func read(t *testing.T, resp *http.Response) reply {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	harness.Must(t, err)
	return reply{resp, string(body)}
}

// isProblem fails the test unless r is a problem of its status (RFC 9457).
func (r reply) isProblem(t *testing.T, status int) handlers.Problem {
	t.Helper()
	var p handlers.Problem
	if r.Request.Method != http.MethodHead {
		if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Status != status || p.Title == "" {
			t.Errorf("%s %s: body %q, want a problem of %d", r.Request.Method, r.Request.URL, r.body, status)
		}
	}
	if r.StatusCode != status || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s = %d %s, want %d application/problem+json", r.Request.Method, r.Request.URL, r.StatusCode, r.Header.Get("Content-Type"), status)
	}
	return p
}

// refuses fails the test unless r names this part of the body alone. asked is what was sent.
func (r reply) refuses(t *testing.T, pointer, asked string) {
	t.Helper()
	if p := r.isProblem(t, 422); len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
		t.Errorf("%s of %.40s: %+v, want the pointer %s", r.Request.Method, asked, p.Errors, pointer)
	}
}

func (r reply) is(t *testing.T, status int, into any) {
	t.Helper()
	if r.StatusCode != status || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s = %d %s: %s, want %d application/json", r.Request.Method, r.Request.URL, r.StatusCode, r.Header.Get("Content-Type"), r.body, status)
		return
	}
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Errorf("%s: %v", r.body, err)
	}
}

// dial opens a connection of its own, until the test ends, and sends text over it.
func (s service) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	harness.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(conn, text)
	harness.Must(t, err)
	return conn
}

// answerOn reads the first answer on a connection.
func answerOn(t *testing.T, conn net.Conn, method string) reply {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method, URL: &url.URL{}})
	harness.Must(t, err)
	return read(t, resp)
}

// raw sends text over a connection of its own and returns the first answer. A problem must be in the document.
func (s service) raw(t *testing.T, method, text string) reply {
	t.Helper()
	r := answerOn(t, s.dial(t, text), method)
	if line := strings.Fields(text); len(line) > 1 && r.Header.Get("Content-Type") == "application/problem+json" {
		path, _, _ := strings.Cut(line[1], "?")
		r.isDocumented(t, method, path)
	}
	return r
}

// afterHeader returns what comes behind the header of an answer that has no body: net/http's client would not show it.
func (s service) afterHeader(t *testing.T, method, path string, headers ...string) string {
	t.Helper()
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, path)
	for i := 0; i+1 < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	answer, err := io.ReadAll(s.dial(t, text+"\r\n"))
	_, rest, whole := strings.Cut(string(answer), "\r\n\r\n")
	if err != nil || !whole {
		t.Fatalf("%s %s: %q, %v", method, path, answer, err)
	}
	return rest
}

// bare is the routes over a store alone.
func bare(accounts store.Store) http.Handler { return handlers.New(over(accounts)) }

// over is the options of routes over a store alone.
func over(accounts store.Store) handlers.Options {
	opts := overNothing()
	opts.Live.Serve(handlers.Parts{Store: accounts})
	return opts
}

// overNothing is the options of the routes of a service that is starting.
func overNothing() handlers.Options {
	return handlers.Options{Live: handlers.NewLive(), MaxBody: 1 << 20, MaxConcurrent: 128, Log: slog.New(slog.DiscardHandler),
		Metrics: handlers.NewMetrics(prometheus.NewRegistry()), Stopping: context.Background()}
}

// ask gives a request to a handler without a network.
func ask(handler http.Handler, req *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	return answer
}

// putOf is a request that puts an account.
func putOf(body io.Reader) *http.Request {
	req := httptest.NewRequest("PUT", "/accounts/x", body)
	req.Header.Set("Content-Type", "application/json")
	return req
}
