package handlers_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestSameFailuresAreLoggedOnceInAWhileAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log harness.Buffer
		down := storetest.Fail(fmt.Errorf("bolt: %w", store.ErrUnavailable))
		opts := over(storetest.Faulty{OnGet: down, OnDelete: storetest.Fail(errors.New("other"))})
		opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		handler, get := handlers.New(opts), httptest.NewRequest("GET", "/accounts/10000", nil)
		for range 50 {
			ask(handler, get)
		}
		ask(handler, httptest.NewRequest("DELETE", "/accounts/10000", nil))
		if n := strings.Count(log.String(), "request failed"); n != 2 {
			t.Errorf("%d lines for two kinds of failure, want 2:\n%s", n, log.String())
		}
		time.Sleep(10 * time.Second)
		if ask(handler, get); !strings.Contains(log.String(), "not_logged=49") {
			t.Errorf("after a while:\n%s\nwant 49 that were not logged", log.String())
		}
	})
}

func TestProblemIsNotLongerThanWhatItRefuses(t *testing.T) {
	s := serve(t, nil)
	query := []byte("k")
	for i := range 1000 {
		query = fmt.Appendf(query, "&k%d", i)
	}
	long := `{"name":"x","` + strings.Repeat("k", 100_000) + `":0}`
	for _, r := range []reply{s.do(t, "PUT", "/accounts/10000", long), s.do(t, "GET", "/accounts?"+string(query), "")} {
		if p := r.isProblem(t, 422); len(p.Errors) > 50 || len(r.body) > 10_000 {
			t.Errorf("%d errors in %d bytes", len(p.Errors), len(r.body))
		}
	}
}

func TestRejectedValueIsNeverRepeated(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	s := serve(t, nil)
	admin, _ := serveAdmin(t)
	rejected := 0
	try := func(s service, method, path, body string, headers ...string) {
		t.Helper()
		r := s.do(t, method, path, body, headers...)
		if r.StatusCode < 400 {
			return // some of them are good
		}
		rejected++
		if strings.Contains(r.body, secret) || strings.Contains(fmt.Sprint(r.Header), secret) {
			t.Errorf("%s %s %s %q: %s", method, path, body, headers, r.body)
		}
	}
	for _, shape := range []string{"%s", "%s@", "@%s", "<%s@x>", "%s@%[1]s", "%s <a@b>", `\"%s`, `\"%s\"@x`, "%s x", "%s:", "http://%s:x", "a@[%s]", "a@b,%s",
		"(%s", "a@(%s", `%s\u0000`, `%s\n`, "2026-%s", "2026-11-22T00:00:00+%s", "urn:uuid:%s", "=?utf-8?q?%s?=@x"} {
		text := strings.ReplaceAll(fmt.Sprintf(shape, secret), "%!(EXTRA string=hunter2)", "")
		for _, value := range []string{`"` + text + `"`, `["` + text + `"]`, `{"a":"` + text + `"}`} {
			for _, body := range []string{`{"name":%s}`, `{"name":"x","email":%s}`, `{"name":"x","labels":%s}`, `{"name":"x","labels":{"a":%s}}`, `{"name":"x","other":%s}`, `%s`} {
				body = strings.Replace(body, "%s", value, 1)
				for _, of := range []string{"PUT /accounts/10000", "PATCH /accounts/10000", "POST /accounts"} {
					method, path, _ := strings.Cut(of, " ")
					try(s, method, path, body)
				}
				line := strings.Replace(body, "{", `{"id":"a",`, 1)
				try(s, "POST", "/accounts:import?dry_run=true", line, "Content-Type", ndjson)
			}
			for _, member := range []string{"id", "version", "created_at", "updated_at"} {
				try(s, "POST", "/accounts:import?dry_run=true", `{"name":"x","`+member+`":`+value+`}`, "Content-Type", ndjson)
			}
			try(s, "POST", "/accounts:batchGet", `{"ids":`+value+`}`)
			try(admin, "PUT", "/maintenance", `{"reason":"x","ttl":`+value+`}`)
			try(admin, "PUT", "/maintenance", `{"ttl":"1m","reason":`+value+`}`)
		}
		plain := strings.NewReplacer(`\u0000`, "\x00", `\n`, "\n", `\"`, `"`).Replace(text)
		for _, parameter := range []string{"limit", "cursor", "name", "updated_since"} {
			try(s, "GET", "/accounts?"+parameter+"="+url.QueryEscape(plain), "")
		}
		try(s, "GET", "/accounts/"+url.PathEscape(plain), "")
		try(s, "POST", "/accounts:import?dry_run="+url.QueryEscape(plain), "{}", "Content-Type", ndjson)
		for _, header := range []string{"If-Match", "If-None-Match", "Content-Type", "Content-Encoding", "Accept", "Idempotency-Key"} {
			if !strings.ContainsAny(plain, "\x00\n") {
				try(s, "PATCH", "/accounts/10000", `{"name":7}`, header, plain)
				try(s, "GET", "/accounts/10000", "", header, plain)
			}
		}
	}
	if rejected < 1000 {
		t.Errorf("only %d requests were refused", rejected)
	}
}
