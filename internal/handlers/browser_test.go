package handlers_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"accountservice/internal/handlers"
	"accountservice/tests/harness"
)

func TestAnswersAreForNoSharedCacheAndNameNoServer(t *testing.T) {
	s, admin := serve(t, nil), first(serveAdmin(t))
	tag := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	const revalidate = "private, no-cache"
	for _, c := range []struct {
		service
		method, path, body string
		headers            []string
		cache              string
	}{
		{s, "GET", "/accounts/10000", "", nil, revalidate},
		{s, "HEAD", "/accounts/10000", "", nil, revalidate},
		{s, "GET", "/accounts/10000", "", []string{"If-Match", "*"}, revalidate}, // through the pipeline
		{s, "GET", "/accounts/10000", "", []string{"If-None-Match", tag}, revalidate},
		{s, "GET", "/accounts/nobody", "", nil, "no-store"},
		{s, "GET", "/accounts", "", nil, "no-store"},
		{s, "GET", "/accounts:export", "", nil, "no-store"},
		{s, "POST", "/accounts:batchGet", `{"ids":["10000"]}`, nil, "no-store"},
		{s, "POST", "/accounts", `{"name":"x"}`, []string{"Idempotency-Key", "k"}, "no-store"},
		{s, "POST", "/accounts", `{"name":"x"}`, []string{"Idempotency-Key", "k"}, "no-store"}, // remembered
		{s, "PUT", "/accounts/10000", `{"name":"x"}`, nil, "no-store"},
		{s, "PATCH", "/accounts/10000", `{"name":"y"}`, nil, "no-store"},
		{s, "DELETE", "/accounts/10000", "", nil, "no-store"},
		{s, "OPTIONS", "/accounts", "", nil, "no-store"},
		{s, "GET", "/health", "", nil, "no-store"},
		{s, "GET", "/ready", "", nil, "no-store"},
		{s, "GET", "/nothing", "", nil, "no-store"},
		{s, "GET", "/openapi.json", "", nil, "no-store"},
		{s, "GET", "/docs", "", nil, "no-cache"},
		{s, "GET", "/docs/swagger-ui.css", "", nil, "no-cache"},
		{admin, "GET", "/metrics", "", nil, "no-store"},
		{admin, "GET", "/maintenance", "", nil, "no-store"},
		{admin, "GET", "/status", "", nil, "no-store"},
		{admin, "GET", "/debug/pprof/cmdline", "", nil, "no-store"},
	} {
		r := c.do(t, c.method, c.path, c.body, c.headers...)
		if got := r.Header.Values("Cache-Control"); len(got) != 1 || got[0] != c.cache {
			t.Errorf("%s %s = %d with Cache-Control %q, want %s", c.method, c.path, r.StatusCode, got, c.cache)
		}
		if got := r.Header.Values("X-Content-Type-Options"); len(got) != 1 || got[0] != "nosniff" {
			t.Errorf("%s %s = %d with X-Content-Type-Options %q", c.method, c.path, r.StatusCode, got)
		}
		if banner := r.Header.Get("Server") + r.Header.Get("X-Powered-By"); banner != "" {
			t.Errorf("%s %s names %q", c.method, c.path, banner)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// What a web page of another site may send without asking first (Fetch, CORS-safelisted): POST with one of these types
// or none. All else a browser asks about by OPTIONS, and is not allowed.
func TestWebPageCanChangeNothing(t *testing.T) {
	s := serve(t, nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.do(t, "GET", "/openapi.json", "").body))
	harness.Must(t, err)
	before := s.do(t, "GET", "/accounts?limit=1000", "").body
	tried := 0
	for path, item := range doc.Paths.Map() {
		path = strings.NewReplacer("{id}", "10000", "{name}", "bolt").Replace(path)
		r := s.do(t, "OPTIONS", path, "", "Origin", "http://evil.example", "Access-Control-Request-Method", "DELETE")
		for name := range r.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("OPTIONS %s allows another site something: %s", path, name)
			}
		}
		for method := range item.Operations() {
			if method != http.MethodPost {
				continue
			}
			for _, media := range []string{"text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
				"multipart/form-data; boundary=x", ""} {
				tried++
				text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n", path)
				if media != "" {
					text += "Content-Type: " + media + "\r\n"
				}
				r := s.raw(t, "POST", text+"\r\n"+`{"name":"x"}`)
				r.isProblem(t, http.StatusUnsupportedMediaType)
			}
		}
	}
	if after := s.do(t, "GET", "/accounts?limit=1000", "").body; after != before || tried < 15 {
		t.Errorf("accounts changed, or only %d requests were made", tried)
	}
}

func TestHostMustBeOneOfThoseThatAreServed(t *testing.T) {
	s := serveWith(t, nil, func(o *handlers.Options) { o.Hosts = []string{"accounts.example.org", "accounts"} })
	for host, served := range map[string]bool{
		"accounts.example.org": true, "Accounts.Example.ORG.:6767": true, "accounts:80": true,
		"localhost": true, "localhost:6767": true, "127.0.0.1:6767": true, "[::1]:6767": true, "10.0.0.7": true,
		"evil.example": false, "accounts.example.org.evil.example": false, "example.org": false, "127.0.0.1.evil.example": false,
		"x@accounts": false,
	} {
		for _, line := range []string{"GET /accounts/10000", "GET /accounts", "POST /accounts", "GET /docs", "GET /nothing"} {
			method, _, _ := strings.Cut(line, " ")
			r := s.raw(t, method, line+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n")
			if got := r.StatusCode != http.StatusMisdirectedRequest && r.StatusCode != 400; got != served && line != "POST /accounts" {
				t.Errorf("%s of %s = %d, served is to be %t", line, host, r.StatusCode, served)
			}
			if !served && r.StatusCode == http.StatusMisdirectedRequest {
				r.isProblem(t, http.StatusMisdirectedRequest)
			}
		}
		for _, path := range []string{"/health", "/ready", "/health/checks/bolt"} {
			if r := s.raw(t, "GET", "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); r.StatusCode != 200 && host != "x@accounts" {
				t.Errorf("%s of %s = %d, want 200: it is for probes and balancers", path, host, r.StatusCode)
			}
		}
	}
	// HTTP/1.0 needs no Host: HAProxy's checks have none
	if answer, err := io.ReadAll(s.dial(t, "GET /ready HTTP/1.0\r\n\r\n")); err != nil || !strings.Contains(string(answer), " 200 OK") {
		t.Errorf("without a Host: %s, %v", answer, err)
	}
	any := serve(t, nil)
	if r := any.raw(t, "GET", "GET /accounts/10000 HTTP/1.1\r\nHost: any.example\r\n\r\n"); r.StatusCode != 200 {
		t.Errorf("without http.hosts: %d", r.StatusCode)
	}
}
