package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

func TestRepeatedRequestGetsTheFirstAnswerAndChangesNothing(t *testing.T) {
	s := serve(t, nil)
	s.do(t, "PUT", "/accounts/p", `{"name":"x"}`).is(t, 201, &store.Account{})
	for method, path := range map[string]string{"POST": "/accounts", "PATCH": "/accounts/p"} {
		body := `{"name":"` + method + `","labels":{"a":"b"}}`
		first := s.do(t, method, path, body, "Idempotency-Key", "key of "+method)
		if first.StatusCode >= 300 || first.Header.Get("Idempotency-Replayed") != "" {
			t.Fatalf("%s = %d %s, replayed: %q", method, first.StatusCode, first.body, first.Header.Get("Idempotency-Replayed"))
		}
		before := s.exported(t)
		s.do(t, "PUT", "/accounts/p", `{"name":"other"}`) // what came later must not show
		for range 3 {
			again := s.do(t, method, path, body, "Idempotency-Key", "key of "+method)
			if again.StatusCode != first.StatusCode || again.body != first.body || again.Header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("%s again = %d %s, replayed: %q; want %d %s", method, again.StatusCode, again.body, again.Header.Get("Idempotency-Replayed"), first.StatusCode, first.body)
			}
			for _, header := range []string{"ETag", "Location", "Content-Type"} {
				if again.Header.Get(header) != first.Header.Get(header) {
					t.Errorf("%s again has %s %q, want %q", method, header, again.Header.Get(header), first.Header.Get(header))
				}
			}
		}
		s.has(t, before)
		var acc store.Account
		if s.do(t, "GET", "/accounts/p", "").is(t, 200, &acc); acc.Name != "other" {
			t.Errorf("%s again undid what came later: %+v", method, acc)
		}
	}
}

func TestKeyBelongsToOneRequestOfOneCaller(t *testing.T) {
	s := serve(t, nil)
	const path, body = "/accounts/10000", `{"name":"x"}`
	patch := func(path, body string, headers ...string) reply {
		return s.do(t, "PATCH", path, body, append([]string{"Idempotency-Key", "k"}, headers...)...)
	}
	first := patch(path, body)
	first.is(t, 200, &store.Account{})
	tag := s.do(t, "GET", path, "").Header.Get("ETag")
	for name, r := range map[string]reply{
		"body":      patch(path, `{"name":"y"}`),
		"member":    patch(path, `{"name":"x","email":null}`),
		"path":      patch("/accounts/10001", body),
		"condition": patch(path, body, "If-Match", "*"),
		"weak tag":  patch(path, body, "If-Match", "W/"+tag),
		"method":    s.do(t, "POST", "/accounts", body, "Idempotency-Key", "k"),
	} {
		if p := r.isProblem(t, 422); p.Type != "/problems/idempotency-key-reused" {
			t.Errorf("other %s: %s", name, r.body)
		}
	}
	for name, r := range map[string]reply{ // the same request in other bytes
		"space":   patch(path, " { \"name\" :\t\"x\"}\n"),
		"escape":  patch(path, `{"n\u0061me":"\u0078"}`),
		"mark":    patch(path, "\ufeff"+body),
		"media":   patch(path, body, "Content-Type", "application/merge-patch+json"),
		"charset": patch(path, body, "Content-Type", "Application/JSON; charset=utf8"),
		"length":  patch(path, body, "Transfer-Encoding", "chunked"),
		"path":    patch("/accounts/%310000", body),
	} {
		if r.StatusCode != 200 || r.body != first.body || r.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("same request, other %s = %d %s, want the first answer", name, r.StatusCode, r.body)
		}
	}
	if after := s.do(t, "GET", path, "").Header.Get("ETag"); after != tag {
		t.Errorf("the account changed")
	}
	other := patch("/accounts/10001", body, "Authorization", "Bearer other")
	if other.StatusCode != 200 || other.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("another caller's key: %d %s", other.StatusCode, other.body)
	}
}

func TestPostIsComparedInDecodedForm(t *testing.T) {
	s := serve(t, nil)
	first := s.do(t, "POST", "/accounts", `{"name":"x","labels":{"a":"1","b":"2"}}`, "Idempotency-Key", "k")
	for _, same := range []string{`{"labels":{"b":"2","a":"1"},"name":"x"}`, `{"name":"x","email":null,"labels":{"b":"2", "a":"1"}}`,
		`{"name":"x","email":"","labels":{"b":"\u0032","a":"1"}}`} {
		if r := s.do(t, "POST", "/accounts", same, "Idempotency-Key", "k"); r.body != first.body || r.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s = %d %s, want the first answer", same, r.StatusCode, r.body)
		}
	}
	s.do(t, "POST", "/accounts", `{"name":"x","labels":{"a":"2","b":"1"}}`, "Idempotency-Key", "k").isProblem(t, 422)
}

func TestMalformedKeyIs400(t *testing.T) {
	s := serve(t, nil)
	before := s.exported(t)
	for _, key := range []string{"", strings.Repeat("k", 256), "é", "a\tb"} {
		r := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", key)
		if p := r.isProblem(t, 400); len(p.Errors) != 1 || p.Errors[0].Parameter != "Idempotency-Key" || key != "" && strings.Contains(r.body, key) {
			t.Errorf("key %q: %s", key, r.body)
		}
	}
	s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", strings.Repeat("k", 255)).is(t, 201, &store.Account{})
	s.has(t, before+1)
}

// blocked holds each Put until the test lets it go on.
func blocked() (put storetest.Fault, entered, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	return func(context.Context) error { entered <- struct{}{}; <-release; return nil }, entered, release
}

func TestRequestWithAKeyInFlightIs409(t *testing.T) {
	put, entered, release := blocked()
	s := serve(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnPut: put} })
	first := make(chan reply)
	go func() { first <- s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", "k") }()
	<-entered
	r := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", "k")
	if p := r.isProblem(t, 409); p.Type != "/problems/in-flight" || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s", r.body)
	}
	close(release)
	one := <-first
	one.is(t, 201, &store.Account{})
	go func() { <-entered }()
	if again := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", "k"); again.body != one.body || again.StatusCode != 201 {
		t.Errorf("afterwards %d %s, want %s", again.StatusCode, again.body, one.body)
	}
}

// lossy makes the write and then fails as ordered: the answer is lost.
type lossy struct {
	store.Store
	fail *atomic.Pointer[storetest.Fault]
}

func (l lossy) Put(ctx context.Context, id store.ID, draft store.Draft, pre store.Preconditions) (store.Written, error) {
	w, err := l.Store.Put(ctx, id, draft, pre)
	if fault := l.fail.Swap(nil); fault != nil && err == nil {
		return store.Written{}, (*fault)(ctx)
	}
	return w, err
}

func TestKeyIsFreeAfterEveryEndAndTellsTheOutcome(t *testing.T) {
	l := lossy{fail: &atomic.Pointer[storetest.Fault]{}}
	s := serve(t, func(real store.Store) store.Store { l.Store = real; return l })
	for name, fault := range map[string]storetest.Fault{
		"panic": storetest.Panic, "unknown": storetest.Fail(fmt.Errorf("bolt: %w", store.ErrOutcomeUnknown)), "any": storetest.Fail(errors.New("any")),
	} {
		l.fail.Store(&fault)
		before := s.exported(t)
		if r := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", name); r.StatusCode < 500 {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
		again := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", name)
		again.is(t, 201, &store.Account{})
		if n := s.exported(t); n != before+1 || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d accounts more, replayed %q; want 1 and true", name, n-before, again.Header.Get("Idempotency-Replayed"))
		}
	}
}

func TestRepeatedPatchIsNotRefusedForWhatItDidItself(t *testing.T) {
	s := serve(t, nil)
	tag := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	patch := func() reply {
		return s.do(t, "PATCH", "/accounts/10000", `{"name":"x"}`, "Idempotency-Key", "k", "If-Match", tag)
	}
	first := patch()
	first.is(t, 200, &store.Account{})
	for _, then := range []string{"", "DELETE"} {
		if then != "" {
			s.do(t, then, "/accounts/10000", "")
		}
		if again := patch(); again.StatusCode != 200 || again.body != first.body || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("after %q: %d %s, want what the first got", then, again.StatusCode, again.body)
		}
	}
}

// Patches of some bytes must not fill the disk with their answers.
func TestAnswersOfPatchesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	large := `{"name":"x","labels":{"l":"x"` + strings.ReplaceAll(manyLabels(60), `:""`, `:"`+strings.Repeat("\U0001fa7a", store.MaxLabelLength)+`"`) + `}}`
	s.do(t, "PUT", "/accounts/large", large).is(t, 201, &store.Account{})
	patch := func(path string, n int, headers ...string) reply {
		return s.do(t, "PATCH", path, fmt.Sprintf(`{"name":"%d"}`, n), append([]string{"Idempotency-Key", fmt.Sprint(path, n)}, headers...)...)
	}
	n, kept := 0, 0
	for r := patch("/accounts/large", n); r.StatusCode == 200 && kept < 32<<20; r = patch("/accounts/large", n) {
		n, kept = n+1, kept+len(r.body)
	}
	if p := patch("/accounts/large", n).isProblem(t, 429); p.Type != "/problems/too-many-answers" || kept < 15<<20 || kept > 18<<20 {
		t.Errorf("after %d bytes of answers: %+v", kept, p)
	}
	if r := patch("/accounts/large", 0); r.StatusCode != 200 || r.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the answer to the first is gone: %d %s", r.StatusCode, r.body)
	}
	for name, r := range map[string]reply{
		"a small account": patch("/accounts/10000", 1),
		"another caller":  patch("/accounts/large", n, "Authorization", "Bearer other"),
		"without a key":   s.do(t, "PATCH", "/accounts/large", `{"name":"y"}`),
	} {
		if r.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
}
