package handlers_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// The same request is made plain, and with something that only the whole pipeline looks at and that changes no answer.
func TestQuickAnswersAreThoseOfThePipeline(t *testing.T) {
	s := serve(t, nil)
	many := make(map[string]string)
	for _, key := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		many[key] = strings.Repeat("日<&>", 50)
	}
	for id, draft := range map[store.ID]store.Draft{
		"odd.id~_-": {Name: "<&>\u2028\"", Email: "a@example.org", Labels: map[string]string{"k": ""}},
		"large":     {Name: "x", Labels: many},
	} {
		_, err := s.store.Put(t.Context(), id, draft, store.Preconditions{})
		harness.Must(t, err)
	}
	ifMatch, unknown := []string{"If-Match", "*"}, "?x=1"
	for _, row := range []struct {
		path, query string
		header      []string
	}{
		{"/accounts/10000", "", ifMatch},
		{"/accounts/odd.id~_-", "", ifMatch},
		{"/accounts/odd%2Eid~_-", "", ifMatch},
		{"/accounts/large", "", ifMatch},
		{"/accounts/nobody", "", nil},
		{"/accounts/a%20b", "", ifMatch},
		{"/health", unknown, nil},
		{"/health", "", []string{"Accept", "application/json;q=0.5"}},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			plain := s.do(t, method, row.path, "")
			whole := s.do(t, method, row.path+row.query, "", row.header...)
			for _, r := range []reply{plain, whole} {
				for _, name := range []string{"Date", "X-Request-Id", "Content-Length"} { // framing is net/http's
					if name != "Content-Length" && r.Header.Get(name) == "" {
						t.Errorf("%s %s has no %s", method, row.path, name)
					}
					r.Header.Del(name)
				}
			}
			if plain.StatusCode != whole.StatusCode || !reflect.DeepEqual(plain.Header, whole.Header) ||
				plain.StatusCode == 200 && plain.body != whole.body {
				t.Errorf("%s %s:\n%d %v %.200s\nand with %s%v\n%d %v %.200s", method, row.path, plain.StatusCode, plain.Header,
					plain.body, row.query, row.header, whole.StatusCode, whole.Header, whole.body)
			}
		}
	}
}

// That plain reads need no place shows, too, that the test above does not compare the pipeline with itself.
func TestMoreRequestsThanAdmittedAre503AndPlainReadsAndHealthAreNot(t *testing.T) {
	t.Parallel()
	put, entered, release := blocked()
	s := serveWith(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnPut: put} },
		func(o *handlers.Options) { o.MaxConcurrent = 1 })
	s.do(t, "GET", "/accounts/10000", "").is(t, 200, &store.Account{})
	done := make(chan reply, 1)
	go func() { done <- s.do(t, "POST", "/accounts", `{"name":"x"}`) }()
	<-entered
	s.do(t, "GET", "/health", "").is(t, 200, &struct{}{})
	for _, header := range [][]string{nil, {"Accept", "*/*"}, {"Accept", "application/json"}} {
		r := s.do(t, "GET", "/accounts/10000", "", header...)
		r.is(t, 200, &store.Account{})
	}
	for _, row := range []struct {
		status int
		header []string
	}{
		{503, []string{"If-Match", "*"}}, {503, []string{"If-None-Match", `"x"`}}, {503, []string{"Accept", "application/*"}},
		{406, []string{"Accept", "text/html"}}, {431, []string{"X-Long", strings.Repeat("x", 15<<10)}},
	} {
		s.do(t, "GET", "/accounts/10000", "", row.header...).isProblem(t, row.status)
	}
	r := s.do(t, "GET", "/accounts/10000?x=1", "")
	if p := r.isProblem(t, 503); p.Type != "/problems/busy" || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s", r.body)
	}
	close(release)
	r = <-done
	r.is(t, 201, &store.Account{})
	s.do(t, "GET", "/accounts?limit=1", "").is(t, 200, &struct{}{})
}
