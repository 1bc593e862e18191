package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/checks"
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
func serveWith(t *testing.T, spoil func(store.Store) store.Store, set func(*API)) service {
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
	api := API{Store: accounts, Health: runner(t, bolt.Check), Version: "1.2.3", MaxBody: 1 << 20,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if set != nil {
		set(&api)
	}
	s.Server = httptest.NewServer(api.Handler())
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
func (r reply) isProblem(t *testing.T, status int) Problem {
	t.Helper()
	var p Problem
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

func TestAccountIsReadWrittenAndRemoved(t *testing.T) {
	s := serve(t, nil)
	var acc account
	s.do(t, "GET", "/accounts/10007", "").is(t, 200, &acc)
	if acc.ID != "10007" || acc.Name != "Person_7" || acc.Version != 1 || acc.CreatedAt == nil || acc.UpdatedAt == nil {
		t.Errorf("got %+v", acc)
	}
	created := s.do(t, "PUT", "/accounts/new.one", `{"name":"Zoë"}`)
	created.is(t, 201, &acc)
	if created.Header.Get("Location") != "/accounts/new.one" || acc.Name != "Zoë" || acc.Version != 1 {
		t.Errorf("created %+v at %q", acc, created.Header.Get("Location"))
	}
	s.do(t, "PUT", "/accounts/new.one", `{"name":"Two"}`).is(t, 200, &acc)
	if acc.Version != 2 {
		t.Errorf("replaced %+v", acc)
	}
	if r := s.do(t, "DELETE", "/accounts/new.one", ""); r.StatusCode != 204 || r.body != "" {
		t.Errorf("DELETE = %d %q", r.StatusCode, r.body)
	}
	s.do(t, "DELETE", "/accounts/new.one", "").isProblem(t, 404)
	s.do(t, "GET", "/accounts/new.one", "").isProblem(t, 404)
}

func TestTimesAreRFC3339InUTC(t *testing.T) {
	s := serve(t, nil)
	var raw map[string]any
	s.do(t, "GET", "/accounts/10000", "").is(t, 200, &raw)
	for _, field := range []string{"created_at", "updated_at"} {
		text, _ := raw[field].(string)
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") {
			t.Errorf("%s = %q", field, text)
		}
	}
}

func TestListPagesThroughAll(t *testing.T) {
	s := serve(t, nil)
	var ids []string
	next := ""
	for pages := 0; pages < 20; pages++ {
		var page struct {
			Items      []account `json:"items"`
			NextCursor string    `json:"next_cursor"`
		}
		s.do(t, "GET", "/accounts?limit=30&cursor="+next, "").is(t, 200, &page)
		for _, acc := range page.Items {
			ids = append(ids, acc.ID)
		}
		if next = page.NextCursor; next == "" {
			break
		}
	}
	if len(ids) != 100 || ids[0] != "10000" || ids[99] != "10099" {
		t.Errorf("%d ids: %q", len(ids), ids)
	}
	s.do(t, "DELETE", "/accounts/10099", "")
	if r := s.do(t, "GET", "/accounts?cursor="+cursor(store.Query{After: "10098"}), ""); !strings.Contains(r.body, `"items":[]`) {
		t.Errorf("page after the last = %s, want an empty list", r.body)
	}
}

func TestHEADIsGETWithoutABody(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/accounts/10000", "/accounts?limit=1", "/accounts/nobody", "/accounts/a%20b", "/health", "/ready",
		"/health/checks/bolt", "/health/checks/users", "/health/checks/none", "/openapi.json", "/docs", "/nothing"} {
		get, head := s.do(t, "GET", path, ""), s.do(t, "HEAD", path, "")
		if head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("HEAD %s = %d %s, GET %d %s", path, head.StatusCode, head.Header.Get("Content-Type"), get.StatusCode, get.Header.Get("Content-Type"))
		}
		if body := s.afterHeader(t, "HEAD", path); body != "" || get.body == "" {
			t.Errorf("HEAD %s has the body %q, GET %q", path, body, get.body)
		}
	}
}

func TestErrorsOfTheStoreHaveTheirWords(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3: password hunter2")
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{store.ErrNotFound, 404, "/problems/account-not-found"},
		{store.ErrExists, 412, "/problems/account-exists"},
		{store.ErrVersion, 412, "/problems/precondition-failed"},
		{store.ErrKeyReused, 422, "/problems/idempotency-key-reused"},
		{store.ErrUnavailable, 503, "/problems/unavailable"},
		{store.ErrOutcomeUnknown, 503, "/problems/outcome-unknown"},
		{store.ErrNoSpace, 507, "/problems/no-space"},
		{context.DeadlineExceeded, 503, "/problems/timeout"},
		{errors.New("anything else"), 500, ""},
	} {
		fail := storetest.Fail(fmt.Errorf("bolt: %w: %w", c.err, secret))
		s := serve(t, func(real store.Store) store.Store {
			return storetest.Faulty{Store: real, OnGet: fail, OnGetMany: fail, OnList: fail, OnPut: fail, OnUpdate: fail, OnDelete: fail}
		})
		for _, r := range []reply{s.do(t, "GET", "/accounts/1", ""), s.do(t, "GET", "/accounts", ""),
			s.do(t, "PUT", "/accounts/1", `{"name":"x"}`), s.do(t, "DELETE", "/accounts/1", ""), s.do(t, "POST", "/accounts", `{"name":"x"}`),
			s.do(t, "PATCH", "/accounts/1", `{"name":"x"}`), s.do(t, "POST", "/accounts:batchGet", `{"ids":["1"]}`)} {
			if p := r.isProblem(t, c.status); p.Type != c.kind || strings.Contains(r.body, "hunter2") {
				t.Errorf("%v gives %s", c.err, r.body)
			}
			if c.kind != "" && c.status >= 500 && r.Header.Get("Retry-After") == "" {
				t.Errorf("%v: no Retry-After", c.err)
			}
		}
		if logged := strings.Contains(s.log.String(), "hunter2"); logged != (c.status >= 500) {
			t.Errorf("%v logged: %v; want the whole of every 5xx: %s", c.err, logged, s.log)
		}
	}
}

func TestPanicIsASilent500(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnGet: storetest.Panic} })
	r := s.do(t, "GET", "/accounts/10000", "")
	r.isProblem(t, 500)
	if strings.Contains(r.body, "ordered") || !strings.Contains(s.log.String(), "ordered panic") {
		t.Errorf("body %q, log %q; want the panic in the log alone", r.body, s.log)
	}
	s.do(t, "GET", "/accounts", "").is(t, 200, &struct{}{})
}

func TestHangingStoreIsAnAnswerInTime(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnGet: storetest.Hang} })
	begin := time.Now()
	if p := s.do(t, "GET", "/accounts/10000", "").isProblem(t, 503); p.Type != "/problems/timeout" {
		t.Errorf("type %q", p.Type)
	}
	if took := time.Since(begin); took < requestTimeout {
		t.Errorf("answered after %s, before the deadline: something else failed", took)
	}
}

func TestHealthIsPublishedWhateverIsAccepted(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/health", "/ready", "/health?cache=buster"} {
		r := s.do(t, "GET", path, "", "Accept", "text/html")
		var h struct {
			Status    string
			Ready     bool
			Component struct{ Name, Version string }
			Failures  map[string]string
			Checks    map[string]map[string]any
		}
		r.is(t, 200, &h)
		if h.Status != "Partially Available" || !h.Ready || h.Component.Name != "accountservice" || h.Component.Version != "1.2.3" ||
			h.Failures["users"] != "connect: refused" || h.Checks["bolt"]["status"] != "ok" || h.Checks["users"]["error"] != "connect: refused" {
			t.Errorf("%s = %s", path, r.body)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, r.Header.Get("Cache-Control"))
		}
	}
	s.do(t, "GET", "/health/checks/bolt", "").is(t, 200, &struct{}{})
	s.do(t, "GET", "/health/checks/users", "").is(t, 503, &struct{}{})
}

func TestStartingServiceSaysSo(t *testing.T) {
	api := API{Store: store.Unavailable("starting"), MaxBody: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Health: checks.Pending{Component: checks.Component{Name: "accountservice"}, Reason: "opening the database"}}
	s := service{Server: httptest.NewServer(api.Handler())}
	defer s.Close()
	for _, path := range []string{"/health", "/ready", "/health/checks/bolt", "/health/checks/none"} {
		r := s.do(t, "GET", path, "")
		r.is(t, 503, &struct{}{})
		if !strings.Contains(r.body, `"starting":"opening the database"`) || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s = %s", path, r.body)
		}
	}
	for _, path := range []string{"/accounts/10000", "/accounts", "/accounts?cursor=" + cursor(store.Query{After: "10000"})} {
		s.do(t, "GET", path, "").isProblem(t, 503)
	}
}

func TestNothingOfTheAnswerReflectsTheHost(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/accounts/10000", "/accounts", "/health", "/openapi.json", "/docs", "/nothing"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(body)+fmt.Sprint(resp.Header), "evil.example") || strings.Contains(string(body), "$schema") {
			t.Errorf("%s reflects the host or links a schema: %.300s", path, body)
		}
	}
}
