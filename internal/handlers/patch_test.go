package handlers_test

import (
	"strings"
	"testing"

	"accountservice/internal/store"
)

func TestPatchChangesWhatItNamesAndNothingElse(t *testing.T) {
	s := serve(t, nil)
	s.do(t, "PUT", "/accounts/p", `{"name":"Ada","email":"ada@example.org","labels":{"team":"red","role":"lead"}}`).is(t, 201, &store.Account{})
	for i, c := range []struct{ media, patch, want string }{
		{"application/merge-patch+json", `{"name":"Zoë"}`, `"name":"Zoë","email":"ada@example.org","labels":{"role":"lead","team":"red"},"version":2`},
		{"application/merge-patch+json", `{"labels":{"team":null,"floor":"3"}}`, `"name":"Zoë","email":"ada@example.org","labels":{"floor":"3","role":"lead"},"version":3`},
		{"application/json", `{"email":null}`, `"name":"Zoë","labels":{"floor":"3","role":"lead"},"version":4`},
		{"application/json; charset=UTF-8", `{"labels":null}`, `"name":"Zoë","version":5`},
		{"application/merge-patch+json", `{"labels":{"a":""}}`, `"name":"Zoë","labels":{"a":""},"version":6`},
		{"application/merge-patch+json", `{"labels":{"a":null}}`, `"name":"Zoë","version":7`},
		{"application/merge-patch+json", `{}`, `"name":"Zoë","version":7`},
		{"application/merge-patch+json", `{"name":"Zoë","email":null,"labels":{"b":null},"id":"p","version":7}`, `"name":"Zoë","version":7`},
		{"application/merge-patch+json; charset=utf8", `{"name":"Zoe"}`, `"name":"Zoe","version":8`},
	} {
		r := s.do(t, "PATCH", "/accounts/p", c.patch, "Content-Type", c.media)
		var acc store.Account
		r.is(t, 200, &acc)
		if !strings.Contains(r.body, c.want) || r.Header.Get("ETag") != s.do(t, "GET", "/accounts/p", "").Header.Get("ETag") {
			t.Errorf("patch %d: %s with ETag %s, want %s", i, r.body, r.Header.Get("ETag"), c.want)
		}
	}
	for patch, pointer := range map[string]string{
		`{"name":null}`: "#/name", `{"email":"no"}`: "#/email", `{"labels":{"a":3}}`: "#/labels/a", `{"labels":{"a":"\u0000"}}`: "#/labels/a",
		`{"labels":{"":null}}`: "#/labels", `{"id":"q"}`: "#/id", `{"id":null}`: "#/id", `{"version":7}`: "#/version", `{"version":null}`: "#/version",
		`{"created_at":null}`: "#/created_at", `{"updated_at":"2026-01-01T00:00:00Z"}`: "#/updated_at", `[]`: "#", `{"labels":{"l0":""` + manyLabels(64) + `}}`: "#/labels",
	} {
		s.do(t, "PATCH", "/accounts/p", patch, "Content-Type", "application/merge-patch+json").refuses(t, pointer, patch)
	}
	s.do(t, "PATCH", "/accounts/nobody", `{"name":"x"}`).isProblem(t, 404)
	s.do(t, "PATCH", "/accounts/nobody", `{"name":"x"}`, "If-Match", "*").isProblem(t, 404) // as without a condition (RFC 9110, 13.2.1)
}
