package handlers_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestEveryTypeOfProblemHasAPage(t *testing.T) {
	s := serve(t, nil)
	source := harness.Read(t, "problem.go")
	types := regexp.MustCompile(`Type: "(/problems/[a-z-]+)"`).FindAllStringSubmatch(source, -1)
	if len(types) < 20 {
		t.Fatalf("problem.go has %d types", len(types))
	}
	for _, found := range types {
		path := found[1]
		r := s.do(t, "GET", path, "")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(r.body, path) {
			t.Errorf("%s = %d %q, want a text that names it: %s", path, r.StatusCode, r.Header, r.body)
		}
		if parts := strings.Split(r.body, "\n\n"); len(parts) < 4 || len(parts[2]) < 4 || len(parts[3]) < 4 {
			t.Errorf("%s has no title, meaning and what to do: %s", path, r.body)
		}
	}
	s.do(t, "GET", "/problems/none", "").isProblem(t, http.StatusNotFound)
	p := s.do(t, "GET", "/accounts/nobody", "").isProblem(t, http.StatusNotFound)
	if r := s.do(t, "GET", p.Type, ""); !strings.Contains(r.body, "Status 404") { // that the problem had
		t.Errorf("%s = %d %s", p.Type, r.StatusCode, r.body)
	}
}

func TestRootLeadsToThePageWithoutReadingAccounts(t *testing.T) {
	s := serve(t, nil)
	for _, host := range []string{"localhost", "a.example"} {
		r := s.raw(t, "GET", "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if r.StatusCode != http.StatusFound || r.Header.Get("Location") != "docs" {
			t.Errorf("/ = %d with Location %q", r.StatusCode, r.Header.Get("Location"))
		}
	}
	s.do(t, "POST", "/", "{}").isProblem(t, http.StatusMethodNotAllowed)
}
