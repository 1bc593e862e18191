package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"pgregory.net/rapid"
)

// fuzzers at a time, each with -rapid.checks walks of fuzzSteps requests.
const (
	fuzzers   = 2
	fuzzSteps = 12
)

// TestAnyRequestGetsADocumentedAnswer drives the running service with requests made of its own OpenAPI document, valid
// and invalid. make fuzz-api is the long run.
func TestAnyRequestGetsADocumentedAnswer(t *testing.T) {
	t.Parallel()
	openapi3filter.RegisterBodyDecoder(ndjson, openapi3filter.FileBodyDecoder) // as text
	harness.Must(t, flag.Set("rapid.nofailfile", "true"))                      // the seed is in the output
	if !given("rapid.checks") {
		harness.Must(t, flag.Set("rapid.checks", "30"))
	}
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_MAX_BODY=64KiB")
	j := newJudge(t, p)
	t.Run("walks", func(t *testing.T) {
		for i := range fuzzers {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, j.walk)
			})
		}
	})
	t.Logf("%d requests, %d of them again after a 503; answers by status: %v", j.requests.Load(), j.again.Load(), j.statuses)
	if j.requests.Load() < 20_000 {
		return
	}
	for _, status := range []int{200, 201, 204, 304, 400, 404, 405, 406, 412, 413, 414, 415, 422, 431} {
		if j.statuses[status] == 0 {
			t.Errorf("no answer was %d: the requests are too tame", status)
		}
	}
}

// given reports whether the command line of the tests has this flag.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// judge knows the document and says whether an answer is in it.
type judge struct {
	url    string
	doc    *openapi3.T
	router routers.Router
	client *http.Client

	walks, requests, again atomic.Int64
	mu                     sync.Mutex
	statuses               map[int]int
}

func newJudge(t *testing.T, p *harness.Process) *judge {
	t.Helper()
	_, text := p.Get("/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	harness.Must(t, err)
	for _, schema := range doc.Components.Schemas {
		schema.Value.AdditionalProperties.Has = new(false) // answers may get new members, and this version has none
	}
	doc.Servers = nil // the router takes no relative ones
	router, err := gorillamux.NewRouter(doc)
	harness.Must(t, err)
	return &judge{url: p.URL, doc: doc, router: router, statuses: make(map[int]int), client: &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: fuzzers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// walk is some requests about a few accounts of its own, so that it knows what each must be.
func (j *judge) walk(t *rapid.T) {
	w := &world{doc: j.doc, prefix: fmt.Sprintf("w%d.", j.walks.Add(1)), etags: make(map[string]string)}
	for i := range fuzzSteps {
		r := w.draw(t)
		if i < 2 { // two accounts to begin with
			id := fmt.Sprint(w.prefix, i)
			r = request{method: http.MethodPut, target: "/accounts/" + id, id: id, body: []byte(`{"name":"first","labels":{"a":"b"}}`),
				header: [][2]string{{"Content-Type", "application/json"}}, tame: true}
		}
		a, err := j.ask(r)
		if err == nil && a.passes() {
			j.again.Add(1)
			a, err = j.ask(r)
		}
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		j.judge(t, r, a)
		w.learn(t, r, a)
	}
}

// answer is what came back, with its body read.
type answer struct {
	request *http.Request
	*http.Response
	body []byte
}

// passes says whether the answer is that of a machine that was busy for a while and changed nothing. It has one more
// try: a second one is a failure.
func (a answer) passes() bool {
	var p struct{ Type string }
	return a.StatusCode == http.StatusServiceUnavailable && json.Unmarshal(a.body, &p) == nil &&
		(p.Type == "/problems/busy" || p.Type == "/problems/timeout")
}

func (j *judge) ask(r request) (answer, error) {
	j.requests.Add(1)
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
		if r.chunked {
			body = struct{ io.Reader }{body}
		}
	}
	req, err := http.NewRequest(r.method, j.url+r.target, body)
	if err != nil {
		return answer{}, err
	}
	for _, h := range r.header {
		req.Header.Add(h[0], h[1])
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.statuses[resp.StatusCode]++
	return answer{req, resp, text}, nil
}

// wholeIDs is the path with ! for each %2F: neither is part of an id, and the router of the test takes %2F for a slash.
func wholeIDs(u *url.URL) string {
	path, err := url.PathUnescape(strings.ReplaceAll(u.EscapedPath(), "%2F", "!"))
	if err != nil {
		return u.Path
	}
	return path
}

// judge fails the test unless the answer is one that the document has for the request. What the document forbids must
// be refused, what it allows taken.
func (j *judge) judge(t *rapid.T, r request, a answer) {
	if a.StatusCode == 431 && a.Close && a.Header.Get("Content-Type") == "text/plain; charset=utf-8" {
		return // by net/http, before there is an operation
	}
	switch {
	case a.StatusCode >= 500:
		t.Fatalf("%s\n= %d %s", r, a.StatusCode, a.body)
	case a.StatusCode >= 400 && bytes.Contains(a.body, []byte(poison)):
		t.Fatalf("%s\n= %d repeats what was sent: %s", r, a.StatusCode, a.body)
	case a.Header.Get("X-Request-Id") == "":
		t.Fatalf("%s\n= %d without an id", r, a.StatusCode)
	}
	a.request.URL.Path, a.request.URL.RawPath = wholeIDs(a.request.URL), ""
	route, params, err := j.router.FindRoute(a.request)
	if err != nil {
		options := r.method == http.MethodOptions && a.StatusCode == 204
		if a.StatusCode != 404 && a.StatusCode != 405 && !options {
			t.Fatalf("%s\n= %d, and is not in the document: %v", r, a.StatusCode, err)
		}
		return
	}
	a.request.Body = io.NopCloser(bytes.NewReader(bytes.TrimPrefix(r.body, []byte("\ufeff")))) // which a reader of JSON may skip
	in := &openapi3filter.RequestValidationInput{Request: a.request, PathParams: params, Route: route,
		Options: &openapi3filter.Options{ExcludeReadOnlyValidations: true}} // taken if they are the account's
	err = openapi3filter.ValidateRequest(t.Context(), in)
	if err != nil && a.StatusCode < 400 {
		t.Fatalf("%s\n= %d, though the document forbids it: %v", r, a.StatusCode, err)
	}
	if r.tame && a.StatusCode >= 400 && a.StatusCode != 404 && a.StatusCode != 412 && a.StatusCode != 409 {
		t.Fatalf("%s\n= %d %s, though the document allows it", r, a.StatusCode, a.body)
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: len(a.body) == 0},
	})
	if err != nil {
		t.Fatalf("%s\n= %d %s is not as the document says: %v", r, a.StatusCode, a.body, err)
	}
	if len(a.body) == 0 && r.method != http.MethodHead && a.StatusCode != 204 && a.StatusCode != 304 {
		t.Fatalf("%s\n= %d without a body", r, a.StatusCode)
	}
}

// learn compares the answer with what the walk knows of its accounts: what was refused changed nothing.
func (w *world) learn(t *rapid.T, r request, a answer) {
	if cursor := nextCursor(a.body); cursor != "" && a.StatusCode == 200 {
		w.cursor = cursor
	}
	if r.id == "" {
		return
	}
	known, is := w.etags[r.id]
	changed := a.StatusCode < 300 && a.Header.Get("Idempotency-Replayed") == ""
	if tag := r.one("If-Match"); changed && tag != "" && tag != known {
		t.Fatalf("%s\n= %d, though the account's ETag was %q", r, a.StatusCode, known)
	}
	switch {
	case r.method == http.MethodDelete && changed:
		delete(w.etags, r.id)
	case (r.method == http.MethodPut || r.method == http.MethodPatch) && changed:
		w.etags[r.id] = a.Header.Get("ETag")
	case r.method == http.MethodGet && a.StatusCode == 404 && is, r.method == http.MethodGet && a.StatusCode < 400 && a.Header.Get("ETag") != known:
		t.Fatalf("%s\n= %d with ETag %s, want %q", r, a.StatusCode, a.Header.Get("ETag"), known)
	}
}

// one is the header's value if it is one strong entity tag, else "".
func (r request) one(header string) (tag string) {
	for _, h := range r.header {
		if h[0] == header && (tag != "" || strings.Count(h[1], `"`) != 2 || h[1][0] != '"' || strings.ContainsAny(h[1], ", ")) {
			return ""
		} else if h[0] == header {
			tag = h[1]
		}
	}
	return tag
}

func nextCursor(body []byte) string {
	var page struct {
		NextCursor string `json:"next_cursor"`
	}
	if !bytes.HasPrefix(body, []byte("{")) || json.Unmarshal(body, &page) != nil {
		return ""
	}
	return page.NextCursor
}

func (r request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.300q (tame: %v, chunked: %v)", r.method, r.target, r.tame, r.chunked)
	for _, h := range r.header {
		fmt.Fprintf(&b, "\n%s: %.300q", h[0], h[1])
	}
	if r.body != nil {
		fmt.Fprintf(&b, "\n%.1000q", r.body)
	}
	return b.String()
}
