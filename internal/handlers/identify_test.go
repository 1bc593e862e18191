package handlers_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

func TestRequestIDIsTheClientsIfWellFormed(t *testing.T) {
	s := serve(t, nil)
	for id, taken := range map[string]bool{
		"a": true, "4bf92f35.~_-": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a/b": false, "é": false, `a"`: false,
	} {
		for _, path := range []string{"/accounts/10000", "/health", "/nothing"} {
			if got := s.do(t, "GET", path, "", "X-Request-Id", id).Header.Get("X-Request-Id"); got == "" || (got == id) != taken {
				t.Errorf("%s with %q is called %q", path, id, got)
			}
		}
	}
}

func TestNamesOfARequestAreInItsProblemAndItsLinesOfTheLog(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnGet: storetest.Fail(errors.New("ordered")), OnDelete: storetest.Panic}
	})
	for i, c := range []struct{ method, path, body, failure string }{
		{"GET", "/accounts/10000", "", `msg="request failed"`}, {"DELETE", "/accounts/10000", "", `msg="request panicked"`},
		{"GET", "/nothing", "", ""}, {"GET", "/accounts?limit=0", "", ""}, {"PUT", "/accounts/a", "{", ""}, {"BREW", "/accounts", "", ""},
		{"GET", "/health/checks/none", "", ""},
	} {
		id, trace := fmt.Sprint("id-", i), fmt.Sprintf("%032x", i+1)
		r := s.do(t, c.method, c.path, c.body, "X-Request-Id", id, "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		if p := r.isProblem(t, r.StatusCode); p.Instance != "/requests/"+id {
			t.Errorf("%s %s is called %s, want /requests/%s", c.method, c.path, p.Instance, id)
		}
		for _, line := range []string{"msg=request ", c.failure} {
			names := regexp.MustCompile(line + ".* request_id=" + id + " trace_id=" + trace + "\n")
			if !names.MatchString(s.log.String()) {
				t.Errorf("no %s of %s with the trace %s in the log:\n%s", line, id, trace, s.log)
			}
		}
	}
}

func TestEveryRequestIsALineAtDebugLevel(t *testing.T) {
	s := serve(t, nil)
	r := s.do(t, "GET", "/accounts/10000?x=secret7", "", "X-Request-Id", "one", "Authorization", "secret7")
	s.do(t, "POST", "/accounts:batchGet", `{"ids":["10000"]}`, "X-Request-Id", "two")
	s.Close() // waits for the requests
	for _, want := range []string{
		"level=DEBUG msg=request method=GET route=/accounts/:id status=422 bytes=",
		"level=DEBUG msg=request method=POST route=/accounts:batchGet status=200 bytes=", "request_id=one", "request_id=two",
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, s.log)
		}
	}
	if !regexp.MustCompile(`duration_ms=\d+(\.\d+)?`).MatchString(s.log.String()) {
		t.Errorf("no duration in the log:\n%s", s.log)
	}
	if r.StatusCode != 422 || strings.Contains(s.log.String(), "secret7") {
		t.Errorf("%d; the log holds what the client sent:\n%s", r.StatusCode, s.log)
	}
}
