package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

func TestAccountIsReadWrittenAndRemoved(t *testing.T) {
	s := serve(t, nil)
	var acc store.Account
	r := s.do(t, "GET", "/accounts/10007", "")
	if r.is(t, 200, &acc); !regexp.MustCompile(`"created_at":"[-:0-9T]{19}\.[0-9]{6}Z","updated_at":"[-:0-9T]{19}\.[0-9]{6}Z"}`).MatchString(r.body) {
		t.Errorf("times are not of RFC 3339 in UTC with six digits: %s", r.body)
	}
	if acc.ID != "10007" || acc.Name != "Person_7" || acc.Version != 1 || acc.CreatedAt.IsZero() || acc.UpdatedAt.IsZero() {
		t.Errorf("got %+v", acc)
	}
	created := s.do(t, "PUT", "/accounts/new.one", `{"name":"Zoë"}`)
	created.is(t, 201, &acc)
	if created.Header.Get("Location") != "new.one" || acc.Name != "Zoë" || acc.Version != 1 {
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

// cursor is that of the page after the first n accounts.
func (s service) cursor(t *testing.T, n int) string {
	t.Helper()
	var page accountPage
	s.do(t, "GET", fmt.Sprintf("/accounts?limit=%d", n), "").is(t, 200, &page)
	return page.NextCursor
}

// accountPage is a page of a list.
type accountPage struct {
	Items      []store.Account `json:"items"`
	NextCursor string          `json:"next_cursor"`
}

// requestTimeout is how long the work on a request may take.
const requestTimeout = 5 * time.Second

func TestHEADIsGETWithoutABody(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/accounts/10000", "/accounts?limit=1", "/accounts/nobody", "/accounts/a%20b", "/accounts:export",
		"/health/checks/none", "/openapi.json", "/docs", "/nothing"} {
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
		{store.ErrDamaged, 503, "/problems/account-damaged"},
		{store.ErrOutcomeUnknown, 503, "/problems/outcome-unknown"},
		{store.ErrNoSpace, 507, "/problems/no-space"},
		{context.DeadlineExceeded, 503, "/problems/timeout"},
		{errors.New("anything else"), 500, ""},
	} {
		fail := storetest.Fail(fmt.Errorf("bolt: %w: %w", c.err, secret))
		s := serve(t, func(real store.Store) store.Store {
			return storetest.Faulty{Store: real, OnGet: fail, OnGetMany: fail, OnList: fail, OnPut: fail, OnUpdate: fail, OnDelete: fail}
		})
		for _, r := range []reply{s.send(t, "GET", "/accounts/1", ""), s.send(t, "GET", "/accounts", ""),
			s.send(t, "PUT", "/accounts/1", `{"name":"x"}`), s.send(t, "DELETE", "/accounts/1", ""), s.send(t, "POST", "/accounts", `{"name":"x"}`),
			s.send(t, "PATCH", "/accounts/1", `{"name":"x"}`), s.send(t, "POST", "/accounts:batchGet", `{"ids":["1"]}`)} {
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

func TestHangingStoreIsAnAnswerInTime(t *testing.T) {
	t.Parallel()
	s := serve(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnGet: storetest.Hang} })
	begin := time.Now()
	if p := s.do(t, "GET", "/accounts/10000", "").isProblem(t, 503); p.Type != "/problems/timeout" {
		t.Errorf("type %q", p.Type)
	}
	if took := time.Since(begin); took < requestTimeout {
		t.Errorf("answered after %s, before the deadline: something else failed", took)
	}
}

func TestStartingServiceSaysSo(t *testing.T) {
	opts := overNothing()
	live, s := opts.Live, serveHandler(t, handlers.New(opts))
	if r := s.do(t, "GET", "/health", ""); r.StatusCode != 503 || !strings.Contains(r.body, `"starting":"starting"`) {
		t.Errorf("at first /health = %d %s", r.StatusCode, r.body)
	}
	live.SetHealth(checks.Pending{Component: checks.Component{Name: "accountservice"}, Reason: "opening the database"})
	for _, path := range []string{"/health", "/ready", "/health/checks/bolt", "/health/checks/none"} {
		r := s.do(t, "GET", path, "")
		r.is(t, 503, &struct{}{})
		if !strings.Contains(r.body, `"starting":"opening the database"`) || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s = %s", path, r.body)
		}
	}
	for _, path := range []string{"/accounts/10000", "/accounts", "/accounts?cursor=" + serve(t, nil).cursor(t, 1)} {
		s.do(t, "GET", path, "").isProblem(t, 503)
	}
	whole := serve(t, nil) // the same routes serve it from one request to the next
	live.Serve(handlers.Parts{Store: whole.store})
	live.SetHealth(runner(t, passes))
	s.do(t, "GET", "/accounts/10000", "").is(t, 200, &store.Account{})
	s.do(t, "GET", "/health", "").is(t, 200, &struct{}{})
}

func TestNothingOfTheAnswerReflectsTheHost(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/accounts/10000", "/accounts", "/health", "/openapi.json", "/docs", "/nothing"} {
		r := s.raw(t, "GET", "GET "+path+" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
		if strings.Contains(r.body+fmt.Sprint(r.Header), "evil.example") || strings.Contains(r.body, "$schema") {
			t.Errorf("%s reflects the host or links a schema: %.300s", path, r.body)
		}
	}
}
