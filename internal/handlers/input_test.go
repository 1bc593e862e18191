package handlers_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/tests/harness"
)

// A case is an operation with its query, and the status with the refused parameter. IMPORT tells whether it was a dry
// run.
func TestQueriesAreReadByOneRule(t *testing.T) {
	s := serve(t, nil)
	imports := 0
	harness.Cases(t, "testdata/queries.txt", func(t *testing.T, lines []string) string {
		method, path, _ := strings.Cut(strings.Replace(lines[0], "LONG", strings.Repeat("e", 255), 1), " ")
		var r reply
		ran := ""
		if method == "IMPORT" {
			imports++
			before := s.exported(t)
			r = s.importLines(t, path, fmt.Sprintf(`{"id":"q%d","name":"x"}`, imports))
			if ran = " dry"; s.exported(t) > before {
				ran = " stored"
			}
		} else {
			r = s.do(t, method, path, "")
		}
		if r.StatusCode != 422 {
			return fmt.Sprint(r.StatusCode, ran)
		}
		p := r.isProblem(t, 422)
		return fmt.Sprint(422, " ", p.Errors[0].Parameter, strings.TrimPrefix(ran, " dry"))
	})
}

// A case is a Content-Type, in which TYPE is one that the operation takes.
func TestContentTypeIsReadByOneParser(t *testing.T) {
	s := serve(t, nil)
	harness.Cases(t, "testdata/content_types.txt", func(t *testing.T, lines []string) string {
		said := make(map[string][]string)
		for _, op := range []struct{ method, path, body, media string }{
			{"PUT", "/accounts/10000", `{"name":"x"}`, "application/json"},
			{"POST", "/accounts", `{"name":"x"}`, "application/json"},
			{"POST", "/accounts:batchGet", `{"ids":["10000"]}`, "application/json"},
			{"PATCH", "/accounts/10000", `{"name":"x"}`, "application/json"},
			{"PATCH", "/accounts/10000", `{"name":"x"}`, "application/merge-patch+json"},
			{"POST", "/accounts:import", `{"id":"a","name":"x"}`, ndjson},
		} {
			value := strings.NewReplacer("TYPE-IN-CAPITALS", strings.ToUpper(op.media), "TYPE", op.media).Replace(lines[0])
			r := s.do(t, op.method, op.path, op.body, "Content-Type", value)
			what := fmt.Sprint(r.StatusCode)
			switch {
			case r.StatusCode == 415:
				what = "refused"
			case r.StatusCode/100 == 2:
				what = "taken"
			}
			said[what] = append(said[what], op.method+" "+op.path)
		}
		if len(said) > 1 {
			return fmt.Sprint(said)
		}
		for what := range said {
			return what
		}
		return ""
	})
}

func TestWhatGETGaveIsTakenByPUTAndPATCH(t *testing.T) {
	s := serve(t, nil)
	s.do(t, "PUT", "/accounts/a", `{"name":"Ada","email":"ada@example.org","labels":{"team":"red"}}`).is(t, 201, &store.Account{})
	for _, method := range []string{"PUT", "PATCH"} {
		for _, path := range []string{"/accounts/10000", "/accounts/a"} {
			before := s.do(t, "GET", path, "")
			if r := s.do(t, method, path, before.body); r.StatusCode != 200 || r.body != before.body || r.Header.Get("ETag") != before.Header.Get("ETag") {
				t.Errorf("%s of %s = %d %s, ETag %s; want it unchanged", method, before.body, r.StatusCode, r.body, r.Header.Get("ETag"))
			}
			s.do(t, method, path, strings.Replace(before.body, `"name":"`, `"name":"X`, 1)).is(t, 200, &store.Account{})
			s.do(t, method, path, before.body).refuses(t, "#/version", "what another has changed")
			other := strings.Replace(s.do(t, "GET", path, "").body, `"id":"`, `"id":"x`, 1)
			s.do(t, method, path, other).refuses(t, "#/id", "another's")
		}
	}
	s.do(t, "PUT", "/accounts/b", `{"id":"b","name":"x"}`).is(t, 201, &store.Account{})
}

// A database of the tutorial, or from before narrower limits, has accounts that no
// request may make any more. They are read, listed and changed all the same.
func TestAccountBeyondTheLimitsIsServed(t *testing.T) {
	s := serveTutorial(t, map[string]string{"1": `{"id":"1","name":"\u200b","email":"a\u00a0b@c_d","created_at":"2026-01-02T03:04:05.1234567Z","updated_at":"2026-01-02T03:04:05Z"}`})
	before := s.do(t, "GET", "/accounts/1", "")
	if !strings.Contains(before.body, `"created_at":"2026-01-02T03:04:05.123456Z","updated_at":"2026-01-02T03:04:05.000000Z"`) {
		t.Errorf("%s", before.body)
	}
	for _, path := range []string{"/accounts?name=%E2%80%8B", "/accounts?email=a%C2%A0b@c_d", "/accounts:export"} {
		if r := s.do(t, "GET", path, ""); r.StatusCode != 200 || !strings.Contains(r.body, `"id":"1"`) {
			t.Errorf("%s = %d %s", path, r.StatusCode, r.body)
		}
	}
	s.do(t, "PATCH", "/accounts/1", before.body).is(t, 200, &store.Account{})
	s.do(t, "PATCH", "/accounts/1", `{"labels":{"a":"b"}}`).is(t, 200, &store.Account{})
	s.do(t, "PATCH", "/accounts/1", `{"email":"a\u00a0c@c_d"}`).isProblem(t, 422)
	now := s.do(t, "GET", "/accounts/1", "").body
	if r := s.do(t, "PUT", "/accounts/1", now); r.StatusCode != 200 || r.body != now {
		t.Errorf("PUT of %s = %d %s", now, r.StatusCode, r.body)
	}
	s.do(t, "PUT", "/accounts/1", `{"name":"\u200b","email":"a@example.org"}`).is(t, 200, &store.Account{})
	s.do(t, "PUT", "/accounts/1", `{"name":"\u200b\u200b"}`).refuses(t, "#/name", "another")
	s.do(t, "PUT", "/accounts/2", `{"name":"\u200b"}`).refuses(t, "#/name", "of a new account")
	s.do(t, "PUT", "/accounts/1", `{"name":"one"}`).is(t, 200, &store.Account{})
	s.do(t, "PUT", "/accounts/1", `{"name":"\u200b"}`).refuses(t, "#/name", "of before")
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	harness.Must(t, err)
	harness.Must(t, z.Close())
	return b.String()
}

func TestImportTakesGzipAndByteOrderMarks(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	plain := lines(3000, nil)
	for name, c := range map[string]struct{ coding, body string }{
		"mark": {"", "\ufeff" + plain}, "gzip": {"gzip", zipped(t, plain)}, "x-gzip": {"X-GZIP", zipped(t, plain)},
		"a file": {"identity", zipped(t, plain)}, "mark in gzip": {"gzip", zipped(t, "\ufeff"+plain)},
	} {
		headers := []string{"Content-Type", ndjson}
		if c.coding != "" {
			headers = append(headers, "Content-Encoding", c.coding)
		}
		var got handlers.ImportCount
		if s.do(t, "POST", "/accounts:import", c.body, headers...).is(t, 200, &got); got.Lines != 3000 || got.Created+got.Unchanged != 3000 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	cut := zipped(t, plain)
	r := s.do(t, "POST", "/accounts:import", cut[:len(cut)-9], "Content-Type", ndjson, "Content-Encoding", "gzip")
	if p := r.isProblem(t, 422); len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Detail, "cut gzip") {
		t.Errorf("%s", r.body)
	}
}

// As nginx, Traefik and Kubernetes' ingress are set to serve it below a prefix.
func TestReferencesWorkBehindAProxyThatStripsAPrefix(t *testing.T) {
	inner := serve(t, nil)
	to, err := url.Parse(inner.URL)
	harness.Must(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := serveHandler(t, http.StripPrefix("/api/v1", proxy))
	at := func(path string, headers ...string) reply { return s.do(t, "GET", path, "", headers...) }
	resolve := func(r reply, reference string) string {
		target, err := r.Request.URL.Parse(reference)
		harness.Must(t, err)
		return strings.TrimPrefix(target.String(), s.URL)
	}
	for _, create := range []struct{ method, path string }{{"POST", "/api/v1/accounts"}, {"PUT", "/api/v1/accounts/a.b"}} {
		r := s.do(t, create.method, create.path, `{"name":"x"}`)
		r.is(t, 201, &store.Account{})
		where := resolve(r, r.Header.Get("Location"))
		if got := at(where); got.body != r.body {
			t.Errorf("%s: Location %q leads to %s = %d %s", create.method, r.Header.Get("Location"), where, got.StatusCode, got.body)
		}
	}
	if ids := s.follow(t, "/api/v1/accounts?limit=7&name_prefix=Person"); len(ids) != 100 {
		t.Errorf("links lead through %d accounts, want 100", len(ids))
	}
	page := at("/api/v1/docs")
	for _, part := range strings.Split(page.body, `"`) {
		if strings.HasPrefix(part, "docs/swagger") {
			if r := at(resolve(page, part)); r.StatusCode != 200 {
				t.Errorf("the page's %s = %d", part, r.StatusCode)
			}
		}
	}
	if !strings.Contains(page.body, `new URL("openapi.json", location.href)`) {
		t.Errorf("the page does not name the document: %s", page.body)
	}
	document := at(resolve(page, "openapi.json"))
	if document.StatusCode != 200 || resolve(document, ".") != "/api/v1/" {
		t.Errorf("document = %d, its folder is %s", document.StatusCode, resolve(document, "."))
	}
}
