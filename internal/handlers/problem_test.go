package handlers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

func TestSameFailuresAreLoggedOnceAndCounted(t *testing.T) {
	s := serve(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnGet: storetest.Fail(fmt.Errorf("bolt: %w", store.ErrUnavailable)), OnDelete: storetest.Fail(errors.New("other"))}
	})
	for range 50 {
		s.do(t, "GET", "/accounts/10000", "").isProblem(t, 503)
	}
	s.do(t, "DELETE", "/accounts/10000", "").isProblem(t, 500)
	if n := strings.Count(s.log.String(), "request failed"); n != 2 {
		t.Errorf("%d lines for two kinds of failure, want 2:\n%s", n, s.log)
	}
	var r repeats
	now := time.Now()
	for i := range 5 {
		if again, due := r.due("a", now); due != (i == 0) || again != 0 {
			t.Errorf("call %d = %d, %v", i, again, due)
		}
	}
	if again, due := r.due("a", now.Add(repeatAfter)); !due || again != 4 {
		t.Errorf("after %s = %d, %v; want 4 that were not logged", repeatAfter, again, due)
	}
}

func TestProblemIsNotLongerThanWhatItRefuses(t *testing.T) {
	s := serve(t, nil)
	body, query := []byte(`{"name":"x"`), []byte("k")
	for i := range 1000 {
		body = fmt.Appendf(body, `,"k%d":0`, i)
		query = fmt.Appendf(query, "&k%d", i)
	}
	for _, r := range []reply{s.do(t, "PUT", "/accounts/10000", string(body)+"}"), s.do(t, "GET", "/accounts?"+string(query), "")} {
		if p := r.isProblem(t, 422); len(p.Errors) != maxErrors || len(r.body) > 10_000 {
			t.Errorf("%d errors in %d bytes", len(p.Errors), len(r.body))
		}
	}
}
