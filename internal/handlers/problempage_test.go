package handlers_test

import (
	"encoding/json"
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
		for accept, media := range map[string]string{
			"": "text/plain; charset=utf-8", "*/*": "text/plain; charset=utf-8", "image/png": "text/plain; charset=utf-8",
			"application/json": "application/json; charset=utf-8",
			"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		} {
			r := s.do(t, "GET", path, "", "Accept", accept)
			if r.StatusCode != 200 || r.Header.Get("Content-Type") != media || r.Header.Get("Vary") != "Accept" {
				t.Errorf("%s as %q = %d %q", path, accept, r.StatusCode, r.Header)
			}
			if !strings.Contains(r.body, path) {
				t.Errorf("%s as %q does not name itself: %s", path, accept, r.body)
			}
		}
		var page map[string]any
		harness.Must(t, json.Unmarshal([]byte(s.do(t, "GET", path, "", "Accept", "application/json").body), &page))
		for _, member := range []string{"title", "meaning", "what_to_do"} {
			if text, _ := page[member].(string); len(text) < 4 {
				t.Errorf("%s has the %s %q", path, member, text)
			}
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
