package handlers

import (
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// The vector of RFC 9562, A.6.
func TestUUIDIsThatOfRFC9562(t *testing.T) {
	var random [10]byte
	if _, err := hex.Decode(random[:], []byte("0cc318c4dc0c0c07398f")); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2022, 2, 22, 14, 22, 22, 0, time.FixedZone("EST", -5*3600))
	if got := uuid7(at, random); got != "017f22e2-79b0-7cc3-98c4-dc0c0c07398f" {
		t.Errorf("got %s", got)
	}
	seen := make(map[string]bool)
	for range 1000 {
		id := newUUID(time.Now())
		if seen[id] || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
			t.Errorf("made %s", id)
		}
		seen[id] = true
	}
}

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

func TestRequestIDIsInTheProblemAndInTheLog(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnGet: storetest.Fail(errors.New("ordered")), OnDelete: storetest.Panic}
	})
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/accounts/10000", ""}, {"DELETE", "/accounts/10000", ""}, {"GET", "/nothing", ""}, {"GET", "/accounts?limit=0", ""},
		{"PUT", "/accounts/a", "{"}, {"BREW", "/accounts", ""}, {"GET", "/health/checks/none", ""},
	} {
		id := "id-of-" + c.method
		r := s.do(t, c.method, c.path, c.body, "X-Request-Id", id)
		if p := r.isProblem(t, r.StatusCode); p.Instance != "/requests/"+id {
			t.Errorf("%s %s is called %s, want /requests/%s", c.method, c.path, p.Instance, id)
		}
		if logged := strings.Contains(s.log.String(), "request_id="+id); r.StatusCode >= 500 && !logged {
			t.Errorf("no %s in the log:\n%s", id, s.log)
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
