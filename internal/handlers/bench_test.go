package handlers_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/internal/handlers"
)

// BenchmarkRequest is one request through the routes to a real store and back,
// without a network; with a token too. Compare ratios, with TMPDIR in memory for PUT.
func BenchmarkRequest(b *testing.B) {
	bolt := openBolt(b, filepath.Join(b.TempDir(), "accounts.db"), 100)
	k := newKeys(b)
	guarded := over(bolt)
	guarded.Tokens = k.Tokens
	open, asking := bare(bolt), handlers.New(guarded)
	for _, c := range []struct {
		name, method, path, body string
		token                    string
	}{
		{"GET", "GET", "/accounts/10007", "", ""},
		{"GET with a token", "GET", "/accounts/10007", "", k.token["read"]},
		{"LIST", "GET", "/accounts?limit=50", "", ""},
		{"PUT", "PUT", "/accounts/10007", `{"name":"Person_7"}`, ""},
	} {
		handler, authorization := open, []string{"Bearer " + c.token}
		if c.token != "" {
			handler = asking
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				if c.body != "" {
					req.Header.Set("Content-Type", "application/json")
				}
				if c.token != "" {
					req.Header["Authorization"] = authorization
				}
				if answer := ask(handler, req); answer.Code != 200 {
					b.Fatalf("%d %s", answer.Code, answer.Body)
				}
			}
		})
	}
}
