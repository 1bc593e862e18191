package handlers

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func TestDocumentDescribesEveryAnswer(t *testing.T) {
	openapi3filter.RegisterBodyDecoder(ndjson, openapi3filter.FileBodyDecoder) // as text
	s := serve(t, nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.do(t, "GET", "/openapi.json", "").body))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Errorf("document: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/accounts/10000", ""}, {"HEAD", "/accounts/10000", ""}, {"GET", "/accounts/nobody", ""}, {"GET", "/accounts/a%20b", ""},
		{"PUT", "/accounts/new", `{"name":"x"}`}, {"PUT", "/accounts/new", `{"name":"y"}`}, {"PUT", "/accounts/new", `{"nome":"y"}`},
		{"PUT", "/accounts/new", `{`}, {"PUT", "/accounts/new", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`},
		{"DELETE", "/accounts/new", ""}, {"DELETE", "/accounts/new", ""},
		{"GET", "/accounts", ""}, {"GET", "/accounts?limit=3", ""}, {"GET", "/accounts?limit=0", ""}, {"GET", "/accounts?cursor=x", ""},
		{"POST", "/accounts:import", `{"id":"line","name":"x"}`}, {"POST", "/accounts:import?dry_run=true", `{"id":"line"}`},
		{"GET", "/accounts:export", ""}, {"HEAD", "/accounts:export", ""},
		{"GET", "/health", ""}, {"HEAD", "/health", ""}, {"GET", "/ready", ""}, {"GET", "/health/checks/bolt", ""},
		{"GET", "/health/checks/users", ""}, {"GET", "/health/checks/none", ""},
	} {
		var headers []string
		if strings.HasPrefix(c.path, "/accounts:import") {
			headers = []string{"Content-Type", ndjson}
		}
		r := s.do(t, c.method, c.path, c.body, headers...)
		route, params, err := router.FindRoute(r.Request)
		if err != nil {
			t.Errorf("%s %s is not in the document: %v", c.method, c.path, err)
			continue
		}
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r.Request, PathParams: params, Route: route},
			Status:                 r.StatusCode, Header: r.Header, Body: io.NopCloser(bytes.NewReader([]byte(r.body))),
			Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: c.method == http.MethodHead || r.StatusCode == 204},
		})
		if err != nil {
			t.Errorf("%s %s = %d is not as the document says: %v", c.method, c.path, r.StatusCode, err)
		}
	}
}

// What a browser would load is found in the page; all of it is our own.
func TestDocsLoadNothingFromTheNetwork(t *testing.T) {
	s := serve(t, nil)
	page := s.do(t, "GET", "/docs", "")
	policy := page.Header.Get("Content-Security-Policy")
	if page.StatusCode != 200 || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") {
		t.Errorf("/docs = %d with policy %q", page.StatusCode, policy)
	}
	loads := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(loads) < 3 {
		t.Fatalf("page loads %q", loads)
	}
	for _, load := range loads {
		if !strings.HasPrefix(load[1], "/docs/") {
			t.Errorf("page loads %s", load[1])
			continue
		}
		if r := s.do(t, "GET", load[1], ""); r.StatusCode != 200 || len(r.body) == 0 {
			t.Errorf("%s = %d with %d bytes", load[1], r.StatusCode, len(r.body))
		}
	}
	if !strings.Contains(page.body, "/openapi.json") {
		t.Errorf("page does not name the document")
	}
}
