package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

// service is the routes over a real store and a real runner.
type service struct {
	*httptest.Server
	store store.Store
	log   *buffer
}

// buffer is a bytes.Buffer for the service that writes and the test that reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve starts the routes over 100 accounts; spoil, if not nil, wraps the store.
func serve(t *testing.T, spoil func(store.Store) store.Store) service {
	t.Helper()
	return serveWith(t, spoil, nil)
}

// serveWith does so with other settings, if set is not nil.
func serveWith(t *testing.T, spoil func(store.Store) store.Store, set func(*handlers.Options)) service {
	t.Helper()
	bolt, err := boltstore.Open(t.Context(), boltstore.Options{Path: filepath.Join(t.TempDir(), "accounts.db"), OpenTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { storetest.Close(t, bolt) })
	if _, err := bolt.Seed(t.Context(), store.Fakes(100)); err != nil {
		t.Fatal(err)
	}
	var accounts store.Store = bolt
	if spoil != nil {
		accounts = spoil(bolt)
	}
	s := service{store: accounts, log: &buffer{}}
	live := &handlers.Live{}
	live.SetStore(accounts)
	live.SetHealth(runner(t, bolt.Check))
	opts := handlers.Options{Live: live, Version: "1.2.3", MaxBody: 1 << 20,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if set != nil {
		set(&opts)
	}
	s.Server = httptest.NewServer(handlers.New(opts))
	t.Cleanup(s.Close)
	return s
}

// runner runs one restart check named bolt and one failing degrade check
// named users, until their first results are published.
func runner(t *testing.T, run func(context.Context) error) *checks.Runner {
	t.Helper()
	plan := checks.Check{Name: "bolt", OnFailure: checks.Restart, Run: run, Interval: time.Minute, Timeout: 20 * time.Second, // a busy machine fails nothing here
		FailAfter: 1, PassAfter: 1, StaleAfter: time.Hour}
	users := plan
	users.Name, users.OnFailure = "users", checks.Degrade
	users.Run = func(context.Context) error { return errors.New("connect: refused") }
	r, err := checks.New(checks.Component{Name: "accountservice", Version: "1.2.3"}, slog.New(slog.DiscardHandler), plan, users)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	deadline := time.Now().Add(30 * time.Second)
	ran := func(c checks.CheckHistory) bool { return c.Finished != nil }
	for s := r.Snapshot(); len(s.Checks) != 2 || !ran(s.Checks[0]) || !ran(s.Checks[1]); s = r.Snapshot() {
		if time.Now().After(deadline) {
			t.Fatalf("no first round: %+v", s)
		}
		time.Sleep(time.Millisecond)
	}
	return r
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

func (s service) do(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirects
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, string(b)}
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

// raw sends text over a connection of its own and returns the first answer.
func (s service) raw(t *testing.T, method, text string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(method, "/", nil)
	resp, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatalf("no answer to %q: %v", text, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, string(body)}
}

// afterHeader returns what comes behind the header of an answer that has no
// body: net/http's client would not show it.
func (s service) afterHeader(t *testing.T, method, path string, headers ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, path)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", headers[i], headers[i+1])
	}
	fmt.Fprint(conn, "\r\n")
	answer, err := io.ReadAll(conn)
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
	live := &handlers.Live{}
	live.SetStore(accounts)
	return handlers.Options{Live: live, MaxBody: 1 << 20, Log: slog.New(slog.DiscardHandler)}
}
