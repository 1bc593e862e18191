package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"accountservice/internal/auth"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/tests/harness"
)

// row is a request whose answer must be as the document says.
type row struct {
	method, path, body string
	headers            []string
}

func TestDocumentDescribesEveryAnswer(t *testing.T) {
	openapi3filter.RegisterBodyDecoder(ndjson, openapi3filter.FileBodyDecoder) // as text
	s := serve(t, nil)
	tag := s.do(t, "GET", "/accounts/10000", "").Header.Get("ETag")
	describesAll(t, s, []row{
		{"GET", "/accounts/10000", "", nil}, {"HEAD", "/accounts/10000", "", nil}, {"GET", "/accounts/nobody", "", nil}, {"GET", "/accounts/a%20b", "", nil},
		{"PUT", "/accounts/new", `{"name":"x"}`, nil}, {"PUT", "/accounts/new", `{"name":"y"}`, nil}, {"PUT", "/accounts/new", `{"nome":"y"}`, nil},
		{"PUT", "/accounts/new", `{`, nil}, {"PUT", "/accounts/new", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, nil},
		{"DELETE", "/accounts/new", "", nil}, {"DELETE", "/accounts/new", "", nil},
		{"GET", "/accounts", "", nil}, {"GET", "/accounts?limit=3", "", nil}, {"GET", "/accounts?limit=0", "", nil}, {"GET", "/accounts?cursor=x", "", nil},
		{"GET", "/health", "", nil}, {"HEAD", "/health", "", nil}, {"GET", "/ready", "", nil}, {"GET", "/health/checks/bolt", "", nil},
		{"GET", "/health/checks/users", "", nil}, {"GET", "/health/checks/none", "", nil},
		{"GET", "/accounts/10000", "", []string{"If-None-Match", tag}}, {"HEAD", "/accounts/10000", "", []string{"If-None-Match", "*"}},
		{"GET", "/accounts/10000", "", []string{"If-Match", `"x"`}}, {"GET", "/accounts/10000", "", []string{"If-Match", "x"}},
		{"GET", "/accounts/10000", "", []string{"Accept", "text/html"}}, {"GET", "/accounts?name_prefix=P&limit=2", "", nil},
		{"POST", "/accounts", `{"name":"x","email":"a@b.c","labels":{"a":"b"}}`, []string{"Idempotency-Key", "k"}},
		{"POST", "/accounts", `{"name":"x","email":"a@b.c","labels":{"a":"b"}}`, []string{"Idempotency-Key", "k"}},
		{"POST", "/accounts", `{"name":"y"}`, []string{"Idempotency-Key", "k"}}, {"POST", "/accounts", `{"name":"y"}`, []string{"Content-Type", "text/plain"}},
		{"POST", "/accounts:batchGet", `{"ids":["10000","nobody"]}`, nil}, {"POST", "/accounts:batchGet", `{"ids":[]}`, nil},
		{"PATCH", "/accounts/10000", `{"email":null,"labels":{"a":null}}`, []string{"Content-Type", "application/merge-patch+json"}},
		{"PATCH", "/accounts/nobody", `{"name":"x"}`, nil}, {"PATCH", "/accounts/10000", `{"name":"x"}`, []string{"If-Match", tag}},
		{"PUT", "/accounts/10000", `{"name":"x"}`, []string{"If-None-Match", "*"}}, {"DELETE", "/accounts/10000", "", []string{"If-Match", `W/"x"`}},
		{"POST", "/accounts:import", `{"id":"line","name":"x"}`, []string{"Content-Type", ndjson}},
		{"POST", "/accounts:import?dry_run=true", `{"id":"line"}`, []string{"Content-Type", ndjson}}, {"POST", "/accounts:import", "{}", nil},
		{"GET", "/accounts:export", "", nil}, {"HEAD", "/accounts:export", "", nil},
		{"GET", "/accounts?" + strings.Repeat("x", 9000), "", nil}, {"GET", "/accounts", "", []string{"X-Long", strings.Repeat("x", 15000)}},
		{"GET", "/health?strict", "", nil}, {"GET", "/ready?strict&exclude=users", "", nil}, {"GET", "/ready?exclude=none", "", nil}, {"GET", "/ready?%zz", "", nil},
		{"GET", "/health", "", []string{"Accept", "application/health+json"}}, {"GET", "/health?strict", "", []string{"Accept", "application/health+json"}},
		{"GET", "/health/checks/users", "", []string{"Accept", "application/health+json"}}, {"GET", "/health/checks/bolt", "", []string{"Accept", "application/health+json"}},
		{"GET", "/ready", "", []string{"Accept", "text/plain"}}, {"GET", "/health?strict", "", []string{"Accept", "text/plain"}}, {"GET", "/health/checks/users", "", []string{"Accept", "text/plain"}},
	})
}

func TestDocumentForOperatorsDescribesEveryAnswer(t *testing.T) {
	s, _ := serveAdmin(t)
	describesAll(t, s, []row{
		{"GET", "/maintenance", "", nil}, {"HEAD", "/maintenance", "", nil}, {"PUT", "/maintenance", `{"reason":"x","ttl":"1m"}`, nil},
		{"GET", "/maintenance", "", nil}, {"PUT", "/maintenance", `{"reason":"x","ttl":"x"}`, nil}, {"PUT", "/maintenance", `{`, nil},
		{"PUT", "/maintenance", `{}`, nil}, {"DELETE", "/maintenance", "", nil}, {"GET", "/maintenance", "", []string{"Accept", "text/html"}},
		{"GET", "/log-level", "", nil}, {"PUT", "/log-level", `{"level":"debug"}`, nil}, {"PUT", "/log-level", `{"level":"x"}`, nil}, {"POST", "/backup", "", nil},
	})
}

// describesAll is describes, and fails the test if an operation has no row.
func describesAll(t *testing.T, s service, rows []row) {
	t.Helper()
	if without := describes(t, s, rows); len(without) > 0 {
		t.Errorf("no row for %q", without)
	}
}

// describes fails the test unless the service's document is valid and describes the answers to these requests. It returns
// the operations without a row, but for HEAD.
func describes(t *testing.T, s service, rows []row) (without []string) {
	t.Helper()
	openapi3filter.RegisterBodyDecoder("application/health+json", openapi3filter.JSONBodyDecoder)
	describesAs(t, s, "/openapi.json", "3.1", rows)
	return describesAs(t, s, "/openapi-3.0.json", "3.0", rows)
}

func describesAs(t *testing.T, s service, path, version string, rows []row) (without []string) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.do(t, "GET", path, "").body))
	harness.Must(t, err)
	if !strings.HasPrefix(doc.OpenAPI, version) {
		t.Errorf("version %q, want %s", doc.OpenAPI, version)
	}
	nameAll(t, doc)
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "." {
		t.Errorf("servers %+v, want the folder of the document", doc.Servers)
	}
	doc.Servers = nil // the router takes no relative ones
	if err := doc.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Errorf("document: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	harness.Must(t, err)
	asked := make(map[*openapi3.Operation]bool)
	for _, c := range rows {
		r := s.do(t, c.method, c.path, c.body, c.headers...)
		route, params, err := router.FindRoute(r.Request)
		if err != nil {
			t.Errorf("%s %s is not in the document: %v", c.method, c.path, err)
			continue
		}
		asked[route.Operation] = true
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r.Request, PathParams: params, Route: route},
			Status:                 r.StatusCode, Header: r.Header, Body: io.NopCloser(bytes.NewReader([]byte(r.body))),
			Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: c.method == http.MethodHead || len(r.body) == 0},
		})
		if err != nil {
			t.Errorf("%s %s = %d is not as the document says: %v", c.method, c.path, r.StatusCode, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if !asked[operation] && method != http.MethodHead {
				without = append(without, method+" "+path)
			}
		}
	}
	return without
}

func TestEveryPathOfAccountsIsInTheDocuments(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(serve(t, nil).do(t, "GET", "/openapi.json", "").body))
	harness.Must(t, err)
	for _, file := range []string{"../../README.md", "../../docs/api.md"} {
		text := harness.Read(t, file)
		for path := range doc.Paths.Map() {
			example := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(path), `\{id\}`, `[^/\s]+`))
			if strings.HasPrefix(path, "/accounts") && !example.MatchString(text) {
				t.Errorf("%s does not have %s", file, path)
			}
		}
	}
}

func TestEveryFieldOfTheContentIsInTheDocument(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(serve(t, nil).do(t, "GET", "/openapi.json", "").body))
	harness.Must(t, err)
	for _, name := range []string{"Account", "AccountDraft", "AccountReplacement", "AccountPatch", "AccountLine"} {
		for field := range reflect.TypeFor[store.Draft]().Fields() {
			member, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if doc.Components.Schemas[name].Value.Properties[member] == nil {
				t.Errorf("%s does not describe %q", name, member)
			}
		}
	}
}

// statuses are those that the documents have for each operation: path, method, status.
type statuses map[string]map[string]struct{ Responses map[string]any }

// documented reads the documents of both listeners once, with the answers that tokens bring.
var documented = sync.OnceValue(func() statuses {
	opts, admin := overNothing(), adminOver(&handlers.Live{})
	opts.Tokens, admin.Tokens = &auth.Tokens{}, &auth.Tokens{}
	all := make(statuses)
	for _, handler := range []http.Handler{handlers.New(opts), handlers.NewAdmin(admin)} {
		var doc struct{ Paths statuses }
		if err := json.Unmarshal(ask(handler, httptest.NewRequest("GET", "/openapi.json", nil)).Body.Bytes(), &doc); err != nil {
			panic(err)
		}
		maps.Copy(all, doc.Paths)
	}
	return all
})

// of returns the statuses of an operation, or none if it is not in the documents.
func (s statuses) of(method, path string) map[string]any {
	for template, operations := range s {
		if matches(template, path) {
			return operations[strings.ToLower(method)].Responses
		}
	}
	return nil
}

// matches reports whether a path is of a template of the documents, which have no template beside a path that it matches.
func matches(template, path string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(template), `\{id\}`, "[^/:]+")
	return regexp.MustCompile("^" + strings.ReplaceAll(pattern, `\{name\}`, "[^/]+") + "$").MatchString(path)
}

// nameAll forbids members that the document does not name: it allows them in answers for the sake of clients, and this
// version has none. Bodies of requests stay strict.
func nameAll(t *testing.T, doc *openapi3.T) {
	t.Helper()
	for name, schema := range doc.Components.Schemas {
		closed := schema.Value.AdditionalProperties.Has != nil && !*schema.Value.AdditionalProperties.Has
		request := regexp.MustCompile("Draft|Replacement|Patch|Line|IDs|Order").MatchString(name)
		if closed != request {
			t.Errorf("%s refuses members that it does not name: %v, want %v", name, closed, request)
		}
		schema.Value.AdditionalProperties.Has = new(false)
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
		if !strings.HasPrefix(load[1], "docs/") {
			t.Errorf("page loads %s", load[1])
			continue
		}
		if r := s.do(t, "GET", "/"+load[1], ""); r.StatusCode != 200 || len(r.body) == 0 {
			t.Errorf("%s = %d with %d bytes", load[1], r.StatusCode, len(r.body))
		}
	}
	if !strings.Contains(page.body, `"openapi.json"`) {
		t.Errorf("page does not name the document")
	}
}
