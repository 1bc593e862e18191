package handlers_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkRequest is one request through the routes to a real store and back,
// without a network. Compare ratios, with TMPDIR in memory for PUT.
func BenchmarkRequest(b *testing.B) {
	handler := bare(openBolt(b, filepath.Join(b.TempDir(), "accounts.db"), 100))
	for _, c := range []struct{ name, method, path, body string }{
		{"GET", "GET", "/accounts/10007", ""},
		{"LIST", "GET", "/accounts?limit=50", ""},
		{"PUT", "PUT", "/accounts/10007", `{"name":"Person_7"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				if c.body != "" {
					req.Header.Set("Content-Type", "application/json")
				}
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, req)
				if answer.Code != 200 {
					b.Fatalf("%d %s", answer.Code, answer.Body)
				}
			}
		})
	}
}
