package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBadRequestsAreProblemsAndChangeNothing(t *testing.T) {
	s := serve(t, nil)
	before := s.do(t, "GET", "/accounts?limit=1000", "").body
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		want               string
	}{
		"unknown route":       {"GET", "/nothing", "", nil, 404, ""},
		"trailing slash":      {"GET", "/accounts/", "", nil, 404, ""},
		"double slash":        {"GET", "//accounts", "", nil, 404, ""},
		"below docs":          {"GET", "/docs/nothing.js", "", nil, 404, ""},
		"id with a slash":     {"GET", "/accounts/a%2Fb", "", nil, 422, `"parameter":"id"`},
		"put under a slash":   {"PUT", "/accounts/a%2fb", `{"name":"x"}`, nil, 422, `"parameter":"id"`},
		"no slash":            {"GET", "/accounts%2F10000", "", nil, 404, ""},
		"no slash at the end": {"GET", "/accounts%2f", "", nil, 404, ""},
		"no slash to delete":  {"DELETE", "/accounts%2F10000", "", nil, 404, ""},
		"no folder above":     {"GET", "/docs/..%2Faccounts/10000", "", nil, 404, ""},
		"id with a space":     {"GET", "/accounts/a%20b", "", nil, 422, `"parameter":"id"`},
		"id too long":         {"GET", "/accounts/" + strings.Repeat("a", 65), "", nil, 422, `"parameter":"id"`},
		"unknown query":       {"GET", "/accounts?limt=5", "", nil, 422, `"parameter":"limt"`},
		"limit no number":     {"GET", "/accounts?limit=x", "", nil, 422, `"parameter":"limit"`},
		"limit 0":             {"GET", "/accounts?limit=0", "", nil, 422, `"parameter":"limit"`},
		"limit too large":     {"GET", "/accounts?limit=1001", "", nil, 422, `"parameter":"limit"`},
		"cursor of nobody":    {"GET", "/accounts?cursor=abc", "", nil, 422, `"parameter":"cursor"`},
		"malformed query":     {"GET", "/accounts?limit=%zz", "", nil, 400, "query of the URL is malformed"},
		"limit twice":         {"GET", "/accounts?limit=5&limit=secret7", "", nil, 422, `"parameter":"limit"`},
		"since no time":       {"GET", "/accounts?updated_since=secret7", "", nil, 422, `"parameter":"updated_since"`},
		"since, plus":         {"GET", "/accounts?updated_since=2026-11-22T00:00:00+01:00", "", nil, 422, `%2B`},
		"name not UTF-8":      {"GET", "/accounts?name=secret7%ff", "", nil, 422, `"parameter":"name"`},
		"prefix with NUL":     {"GET", "/accounts?name_prefix=secret7%00", "", nil, 422, `"parameter":"name_prefix"`},
		"target too long":     {"GET", "/accounts/10000?" + strings.Repeat("x", 8<<10), "", nil, 414, "8192"},
		"header too long":     {"GET", "/accounts/10000", "", []string{"X-Long", strings.Repeat("x", 14<<10)}, 431, "14336"},
		"merge patch as PUT":  {"PUT", "/accounts/10000", `{"name":"x"}`, []string{"Content-Type", "application/merge-patch+json"}, 415, "application/json"},
		"JSON patch":          {"PATCH", "/accounts/10000", `[]`, []string{"Content-Type", "application/json-patch+json"}, 415, "application/merge-patch+json or application/json"},
		"semicolon in query":  {"GET", "/accounts/10000?a;b", "", nil, 400, "query of the URL is malformed"},
		"put, bad query":      {"PUT", "/accounts/10000?%zz", `{"name":"x"}`, nil, 400, "query of the URL is malformed"},
		"delete, bad query":   {"DELETE", "/accounts/10000?%zz", "", nil, 400, "query of the URL is malformed"},
		"no such check":       {"GET", "/health/checks/none", "", nil, 404, "/health lists them"},
		"not acceptable":      {"GET", "/accounts/10000", "", []string{"Accept", "text/html"}, 406, ""},
		"JSON refused":        {"GET", "/accounts/10000", "", []string{"Accept", "application/json;q=0, */*"}, 406, ""},
		"put, not acceptable": {"PUT", "/accounts/10000", `{"name":"x"}`, []string{"Accept", "text/html"}, 406, ""},
		"gzip":                {"PUT", "/accounts/10000", `{"name":"x"}`, []string{"Content-Encoding", "gzip"}, 415, "must not be encoded"},
		"two encodings":       {"PUT", "/accounts/10000", `{"name":"x"}`, []string{"Content-Encoding", "identity, br"}, 415, "must not be encoded"},
		"part of an account":  {"PUT", "/accounts/10000", `{"name":"x"}`, []string{"Content-Range", "bytes 0-11/secret7"}, 400, `"parameter":"Content-Range"`},
		"no body":             {"PUT", "/accounts/10000", "", nil, 400, "required"},
		"no JSON":             {"PUT", "/accounts/10000", `{"name":secret7}`, nil, 400, `"pointer":"#/name","detail":"is not valid JSON at byte`},
		"trailing data":       {"PUT", "/accounts/10000", `{"name":"x"} secret7`, nil, 400, "at byte"},
		"duplicate name":      {"PUT", "/accounts/10000", `{"name":"x","name":"secret7"}`, nil, 400, `"pointer":"#/name","detail":"stands twice`},
		"invalid UTF-8":       {"PUT", "/accounts/10000", "{\"name\":\"secret7\xff\"}", nil, 400, "UTF-8"},
		"unknown field":       {"PUT", "/accounts/10000", `{"name":"x","role":"secret7"}`, nil, 422, `"pointer":"#/role"`},
		"read-only field":     {"PUT", "/accounts/10000", `{"name":"x","version":9}`, nil, 422, `"pointer":"#/version"`},
		"null":                {"PUT", "/accounts/10000", `null`, nil, 422, `"pointer":"#"`},
		"array":               {"PUT", "/accounts/10000", `["secret7"]`, nil, 422, `"pointer":"#"`},
		"name missing":        {"PUT", "/accounts/10000", `{}`, nil, 422, `"pointer":"#/name"`},
		"name null":           {"PUT", "/accounts/10000", `{"name":null}`, nil, 422, `"pointer":"#/name"`},
		"name a number":       {"PUT", "/accounts/10000", `{"name":77777777}`, nil, 422, `"pointer":"#/name"`},
		"name empty":          {"PUT", "/accounts/10000", `{"name":""}`, nil, 422, `"pointer":"#/name"`},
		"name too long":       {"PUT", "/accounts/10000", `{"name":"` + strings.Repeat("secret7", 37) + `"}`, nil, 422, `"pointer":"#/name"`},
		"pointer escaped":     {"PUT", "/accounts/10000", `{"name":"x","a/b.c~[0] é":"secret7"}`, nil, 422, `"pointer":"#/a~1b.c~0%5B0%5D%20%C3%A9"`},
		"another id":          {"PUT", "/accounts/10000", `{"name":"x","id":"secret7"}`, nil, 422, `"pointer":"#/id"`},
		"empty id":            {"PUT", "/accounts/10000", `{"name":"x","id":""}`, nil, 422, `"pointer":"#/id"`},
		"another created_at":  {"PUT", "/accounts/10000", `{"name":"x","created_at":"2026-01-01T00:00:00Z"}`, nil, 422, `"pointer":"#/created_at"`},
		"another updated_at":  {"PUT", "/accounts/10000", `{"name":"x","updated_at":"2026-01-01T00:00:00Z"}`, nil, 422, `"pointer":"#/updated_at"`},
		"new, with a version": {"PUT", "/accounts/new", `{"name":"x","version":1}`, nil, 422, `"pointer":"#/version"`},
		"UTF-16":              {"PUT", "/accounts/10000", "\xff\xfe{\x00}\x00", nil, 400, "must be UTF-8"},
		"label null":          {"PUT", "/accounts/10000", `{"name":"x","labels":{"a":null}}`, nil, 422, `"pointer":"#/labels/a"`},
		"label with NUL":      {"PUT", "/accounts/10000", `{"name":"x","labels":{"a.b":"secret7\u0000"}}`, nil, 422, `"pointer":"#/labels/a.b"`},
		"label of a bad key":  {"PUT", "/accounts/10000", `{"name":"x","labels":{"a b":"x"}}`, nil, 422, `"pointer":"#/labels"`},
		"labels too many":     {"PUT", "/accounts/10000", `{"name":"x","labels":{"l0":""` + manyLabels(64) + `}}`, nil, 422, `"pointer":"#/labels"`},
		"email of nobody":     {"PUT", "/accounts/10000", `{"name":"x","email":"secret7"}`, nil, 422, `"pointer":"#/email"`},
		"email with a name":   {"PUT", "/accounts/10000", `{"name":"x","email":"Secret <secret7@x>"}`, nil, 422, `"pointer":"#/email"`},
		"post of an id":       {"POST", "/accounts", `{"name":"x","id":"secret7"}`, nil, 422, `"pointer":"#/id"`},
		"post, name missing":  {"POST", "/accounts", `{}`, nil, 422, `"pointer":"#/name"`},
		"control character":   {"PUT", "/accounts/10000", `{"name":"secret7\u0000"}`, nil, 422, `"pointer":"#/name"`},
		"put of a bad id":     {"PUT", "/accounts/a%20b", `{"name":"x"}`, nil, 422, `"parameter":"id"`},
		"put of a dot":        {"PUT", "/accounts/%2E%2E", `{"name":"x"}`, nil, 422, `"parameter":"id"`},
		"body too long":       {"PUT", "/accounts/10000", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "1048576"},
		"import as JSON":      {"POST", "/accounts:import", "{}", nil, 415, ""},
		"import, encoded":     {"POST", "/accounts:import", "{}", []string{"Content-Type", ndjson, "Content-Encoding", "br"}, 415, "or be gzip"},
		"import, twice":       {"POST", "/accounts:import", "{}", []string{"Content-Type", ndjson, "Content-Encoding", "gzip, gzip"}, 415, "or be gzip"},
		"import, no JSON":     {"POST", "/accounts:import", "{}", []string{"Content-Type", ndjson, "Accept", "text/html"}, 406, ""},
		"unclear dry run":     {"POST", "/accounts:import?dry_run=maybe", "{}", []string{"Content-Type", ndjson}, 422, `"parameter":"dry_run"`},
		"import, parameter":   {"POST", "/accounts:import?dry=true", "{}", []string{"Content-Type", ndjson}, 422, `"parameter":"dry"`},
		"export as JSON":      {"GET", "/accounts:export", "", []string{"Accept", "application/json"}, 406, ""},
		"export, parameter":   {"GET", "/accounts:export?limit=1", "", nil, 422, `"parameter":"limit"`},
		"label without value": {"GET", "/accounts?label=team", "", nil, 422, "KEY=VALUE"},
		"other verb":          {"POST", "/accounts:explode", "", nil, 404, ""},
		"colon is a colon":    {"POST", "/accountsXbatchGet", `{"ids":["10000"]}`, nil, 404, ""},
		"below a verb":        {"POST", "/accounts:batchGet/x", `{"ids":["10000"]}`, nil, 404, ""},
		"delete of a bad id":  {"DELETE", "/accounts/a%20b", "", nil, 422, `"parameter":"id"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, c.method, c.path, c.body, c.headers...)
			r.isProblem(t, c.status)
			if want := c.status == 415 && c.method == "PATCH"; (r.Header.Get("Accept-Patch") == "application/merge-patch+json, application/json") != want {
				t.Errorf("Accept-Patch is %q", r.Header.Get("Accept-Patch"))
			}
			if coding := map[string]string{"must not be encoded": "identity", "or be gzip": "gzip"}[c.want]; r.Header.Get("Accept-Encoding") != coding {
				t.Errorf("Accept-Encoding is %q, want %q", r.Header.Get("Accept-Encoding"), coding)
			}
			if !strings.Contains(r.body, c.want) {
				t.Errorf("%s lacks %q", r.body, c.want)
			}
			if strings.Contains(r.body, "secret7") || strings.Contains(r.body, "77777777") || strings.Contains(r.body, "$schema") {
				t.Errorf("%s repeats what was sent", r.body)
			}
		})
	}
	if after := s.do(t, "GET", "/accounts?limit=1000", "").body; after != before {
		t.Errorf("accounts changed: %s", after)
	}
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"l%d":""`, i+1)
	}
	return b.String()
}

func TestOtherMethodIs405AndOPTIONSTellsThem(t *testing.T) {
	s := serve(t, nil)
	for path, want := range map[string]string{"/accounts": "GET HEAD OPTIONS POST",
		"/accounts/10000": "DELETE GET HEAD OPTIONS PATCH PUT", "/accounts:batchGet": "OPTIONS POST",
		"/accounts:import": "OPTIONS POST", "/accounts:export": "GET HEAD OPTIONS", "/health": "GET HEAD OPTIONS",
		"/ready": "GET HEAD OPTIONS", "/health/checks/bolt": "GET HEAD OPTIONS", "/openapi.json": "GET HEAD OPTIONS",
		"/docs": "GET HEAD OPTIONS"} {
		for _, method := range []string{"POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if strings.Contains(want, method) && method != "OPTIONS" {
				continue
			}
			r := s.do(t, method, path, "")
			if method != "OPTIONS" {
				r.isProblem(t, 405)
			} else if r.StatusCode != 204 || r.body != "" {
				t.Errorf("OPTIONS %s = %d %q", path, r.StatusCode, r.body)
			}
			allow := strings.Split(r.Header.Get("Allow"), ", ")
			if slices.Sort(allow); strings.Join(allow, " ") != want {
				t.Errorf("%s %s: Allow %q, want %s", method, path, allow, want)
			}
			patch := r.Header.Get("Accept-Patch")
			if takes := method == "OPTIONS" && strings.Contains(want, "PATCH"); (patch == "application/merge-patch+json, application/json") != takes {
				t.Errorf("%s %s: Accept-Patch %q", method, path, patch)
			}
		}
	}
}
