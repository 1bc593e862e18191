package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// keys has a file of tokens, one for each scope, named after it, and "limited" with all scopes and one request a second.
type keys struct {
	*auth.Tokens
	token map[string]string
}

func newKeys(t testing.TB) keys {
	t.Helper()
	k := keys{token: make(map[string]string)}
	var file strings.Builder
	add := func(name, scopes, rate string) {
		token, line, err := auth.Create(name, scopes, rate)
		harness.Must(t, err)
		k.token[name] = token
		fmt.Fprintln(&file, line)
	}
	for _, scope := range auth.Scopes() {
		add(string(scope), string(scope), "")
	}
	add("limited", "read,write,admin,health", "1/s")
	k.Tokens = tokensOf(t, file.String())
	var err error
	k.token["revoked"], _, err = auth.Create("revoked", "read,write,admin,health", "")
	harness.Must(t, err)
	return k
}

// tokensOf opens a file of tokens with these lines.
func tokensOf(t testing.TB, lines string) *auth.Tokens {
	t.Helper()
	path := harness.File(t, "tokens", lines)
	tokens, err := auth.Open(path, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	return tokens
}

// revocable opens a file with one token. revoke removes the token, and waits until it is not in force.
func revocable(t *testing.T) (tokens *auth.Tokens, token string, revoke func()) {
	t.Helper()
	token, line, err := auth.Create("a", "read,write,admin", "")
	harness.Must(t, err)
	_, other, err := auth.Create("b", "read,write", "")
	harness.Must(t, err)
	path := filepath.Join(t.TempDir(), "tokens")
	harness.Must(t, os.WriteFile(path, []byte(line+"\n"), 0o600))
	tokens, err = auth.Open(path, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	go tokens.Run(t.Context())
	return tokens, token, func() {
		harness.Must(t, os.WriteFile(path, []byte(other+"\n"), 0o600))
		if !harness.Until(20*time.Second, func() bool { return tokens.Find(token) == nil }) {
			t.Error("the token is in force after it was removed")
		}
	}
}

// An import has no limit of time: a token that leaked must not let it write after the token was removed.
func TestImportEndsWhenItsTokenIsRevoked(t *testing.T) {
	t.Parallel()
	tokens, token, revoke := revocable(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = tokens })
	const header = "POST /accounts:import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 99999999\r\n\r\n%s"
	conn := s.dial(t, fmt.Sprintf(header, token, ndjson, lines(1500, nil)))
	has := func(n int) bool {
		page, err := s.store.List(t.Context(), store.Query{Limit: 10_000})
		return err == nil && len(page.Accounts) == n
	}
	if !harness.Until(20*time.Second, func() bool { return has(1100) }) { // with the first batch
		t.Fatal("no batch is stored")
	}
	revoke()
	_, err := io.WriteString(conn, lines(1000, nil))
	harness.Must(t, err)
	r := answerOn(t, conn, "POST")
	p := r.isProblem(t, 401)
	if p.Type != "/problems/token-unknown" || p.Imported == nil || p.Imported.Lines != 1000 ||
		!strings.Contains(p.Detail, "before 1001 are stored, none from there on") || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s", r.body)
	}
	if !has(1100) {
		t.Error("the import has gone on")
	}
}

// then is a reader that calls a function, and is empty.
type then func()

func (f then) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestExportIsCutWhenItsTokenIsRevoked(t *testing.T) {
	t.Parallel()
	tokens, token, revoke := revocable(t)
	pages := 0
	s := serveWith(t, func(real store.Store) store.Store {
		return storetest.Faulty{Store: real, OnList: func(context.Context) error {
			if pages++; pages == 2 {
				revoke()
			}
			return nil
		}}
	}, func(o *handlers.Options) { o.Tokens = tokens })
	as := []string{"Authorization", "Bearer " + token}
	s.do(t, "POST", "/accounts:import", lines(3000, nil), append(as, "Content-Type", ndjson)...).is(t, 200, &handlers.ImportCount{})
	s.isCut(t, "GET", "/accounts:export", token)
}

func TestBackupIsCutWhenItsTokenIsRevoked(t *testing.T) {
	t.Parallel()
	tokens, token, revoke := revocable(t)
	live := handlers.NewLive()
	live.Serve(handlers.Parts{Backup: backups{size: 12,
		copy: io.MultiReader(strings.NewReader("all"), then(revoke), strings.NewReader(" accounts"))}.Backup})
	admin := adminOver(live)
	admin.Tokens = tokens
	serveHandler(t, handlers.NewAdmin(admin)).isCut(t, "POST", "/backup", token)
}

// isCut fails the test if the answer has an end.
func (s service) isCut(t *testing.T, method, path, token string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, nil)
	harness.Must(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // so early that no header arrived
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%s %s = %d with %d bytes, want a cut", method, path, resp.StatusCode, len(body))
	}
}

// as is the header of a request with a token.
func (k keys) as(name string) []string { return []string{"Authorization", "Bearer " + k.token[name]} }

// credentials are what the requests of the matrix show, and whose scope they have.
func (k keys) credentials() map[string][]string {
	all := map[string][]string{
		"no token":  nil,
		"malformed": {"Authorization", "Basic " + k.token["write"]},
		"bare":      {"Authorization", k.token["write"]},
		"empty":     {"Authorization", "Bearer "},
		"unknown":   {"Authorization", "Bearer x" + k.token["write"]},
		"revoked":   k.as("revoked"),
	}
	for _, scope := range auth.Scopes() {
		all[string(scope)] = k.as(string(scope))
	}
	return all
}

// access is a request to a route, who may make it, and the status of its success.
type access struct {
	target, body, media string
	scopes              []auth.Scope // nil: everybody
	success             int
}

// document is what the matrix reads of the service's own.
type document struct {
	Paths map[string]map[string]struct {
		Security  []map[string][]string
		Responses map[string]any
	}
}

// ginParameter and ginColon are how Gin writes {name} and a colon in a path.
var ginParameter, ginColon = regexp.MustCompile(`/:(\w+)`), strings.NewReplacer(`\:`, ":")

// openToAll are the rows of both listeners that say what the service is.
var openToAll = map[string]access{
	"GET /openapi.json":              {"/openapi.json", "", "", nil, 200},
	"GET /openapi-3.0.json":          {"/openapi-3.0.json", "", "", nil, 200},
	"GET /":                          {"/", "", "", nil, 302},
	"GET /problems/{type}":           {"/problems/forbidden", "", "", nil, 200},
	"GET /docs":                      {"/docs", "", "", nil, 200},
	"GET /docs/swagger-ui.css":       {"/docs/swagger-ui.css", "", "", nil, 200},
	"GET /docs/favicon-32x32.png":    {"/docs/favicon-32x32.png", "", "", nil, 200},
	"GET /docs/favicon-16x16.png":    {"/docs/favicon-16x16.png", "", "", nil, 200},
	"GET /docs/swagger-ui-bundle.js": {"/docs/swagger-ui-bundle.js", "", "", nil, 200},
}

// matrix makes the request of every row, and of openToAll, with all credentials, and compares the answers with the rows
// and with the document of the service. Each route needs a row, also one that is not in the document.
func (k keys) matrix(t *testing.T, s service, rows map[string]access) {
	t.Helper()
	maps.Copy(rows, openToAll)
	var doc document
	harness.Must(t, json.Unmarshal([]byte(s.do(t, "GET", "/openapi.json", "").body), &doc))
	routes := s.Config.Handler.(interface{ Routes() gin.RoutesInfo }).Routes()
	for _, route := range routes {
		path := ginColon.Replace(ginParameter.ReplaceAllString(route.Path, "/{$1}"))
		if _, known := rows[strings.Replace(route.Method, "HEAD", "GET", 1)+" "+path]; !known {
			t.Errorf("%s %s has no row: say who may ask", route.Method, path)
		}
	}
	if len(routes) < len(rows) {
		t.Errorf("%d routes, and %d rows", len(routes), len(rows))
	}
	for name, row := range rows {
		method, path, _ := strings.Cut(name, " ")
		k.ask(t, s, doc, method, path, row)
		if method == "GET" {
			k.ask(t, s, doc, "HEAD", path, row)
		}
	}
}

// ask makes the request of one row.
func (k keys) ask(t *testing.T, s service, doc document, method, path string, row access) {
	t.Helper()
	op, described := doc.Paths[path][strings.ToLower(method)]
	if described {
		want := []map[string][]string{{}, {"token": {"health"}}}
		if row.scopes != nil {
			want = []map[string][]string{{"token": {string(row.scopes[0])}}}
		}
		if !reflect.DeepEqual(op.Security, want) {
			t.Errorf("%s %s is documented with %v, want %v", method, path, op.Security, want)
		}
	}
	for name, header := range k.credentials() {
		want, authenticate := row.want(name)
		r := s.do(t, method, row.target, row.body, append([]string{"Content-Type", row.media}, header...)...)
		if r.StatusCode != want || r.Header.Get("WWW-Authenticate") != authenticate {
			t.Errorf("%s %s with %s = %d %q %s, want %d %q", method, row.target, name, r.StatusCode,
				r.Header.Get("WWW-Authenticate"), r.body, want, authenticate)
		}
		if authenticate != "" {
			r.isProblem(t, want)
		}
		if described && op.Responses[fmt.Sprint(want)] == nil {
			t.Errorf("%s %s: %d is not documented", method, path, want)
		}
	}
}

// want is the answer to a request with these credentials.
func (a access) want(credentials string) (status int, authenticate string) {
	scope := auth.Scope(credentials)
	switch {
	case a.scopes == nil || slices.Contains(a.scopes, scope):
		return a.success, ""
	case slices.Contains(auth.Scopes(), scope):
		return 403, `Bearer error="insufficient_scope", scope="` + strings.Trim(fmt.Sprint(a.scopes), "[]") + `"`
	case credentials == "no token":
		return 401, "Bearer"
	}
	return 401, `Bearer error="invalid_token"`
}

func TestEveryOperationLetsInWhomItSays(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens, o.StatusPage = k.Tokens, true })
	read, write := []auth.Scope{auth.Read}, []auth.Scope{auth.Write}
	const put, patched = `{"name":"x"}`, "application/merge-patch+json"
	k.matrix(t, s, map[string]access{
		"GET /accounts/{id}":        {"/accounts/10000", "", "", read, 200},
		"GET /accounts":             {"/accounts?limit=2", "", "", read, 200},
		"POST /accounts:batchGet":   {"/accounts:batchGet", `{"ids":["10000"]}`, "application/json", read, 200},
		"GET /accounts:export":      {"/accounts:export", "", "", read, 200},
		"POST /accounts":            {"/accounts", put, "application/json", write, 201},
		"PUT /accounts/{id}":        {"/accounts/10001", put, "application/json", write, 200},
		"PATCH /accounts/{id}":      {"/accounts/10001", put, patched, write, 200},
		"DELETE /accounts/{id}":     {"/accounts/10002", "", "", write, 204},
		"POST /accounts:import":     {"/accounts:import", `{"id":"10003","name":"x"}`, ndjson, write, 200},
		"GET /health":               {"/health", "", "", nil, 200},
		"GET /ready":                {"/ready", "", "", nil, 200},
		"GET /health/checks/{name}": {"/health/checks/users", "", "", nil, 503},
		"GET /status":               {"/status", "", "", nil, 200},
	})
	if strings.Contains(s.log.String(), k.token["write"]) {
		t.Errorf("the log has a token")
	}
}

// serveAdminWith starts the operators' routes beyond loopback.
func serveAdminWith(t *testing.T, tokens *auth.Tokens) service {
	t.Helper()
	live := handlers.NewLive()
	live.Serve(handlers.Parts{Maintainer: runner(t, passes), Backup: backups{}.Backup})
	opts := adminOver(live)
	opts.Tokens = tokens
	return serveHandler(t, handlers.NewAdmin(opts))
}

func TestEveryRouteForOperatorsLetsInWhomItSays(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	s := serveAdminWith(t, k.Tokens)
	admin := []auth.Scope{auth.Admin}
	k.matrix(t, s, map[string]access{
		"GET /maintenance":          {"/maintenance", "", "", admin, 200},
		"PUT /maintenance":          {"/maintenance", `{"reason":"x","ttl":"1m"}`, "application/json", admin, 200},
		"DELETE /maintenance":       {"/maintenance", "", "", admin, 204},
		"POST /backup":              {"/backup", "", "", admin, 200},
		"GET /log-level":            {"/log-level", "", "", admin, 200},
		"PUT /log-level":            {"/log-level", `{"level":"warn"}`, "application/json", admin, 200},
		"GET /metrics":              {"/metrics", "", "", []auth.Scope{auth.Health, auth.Admin}, 200},
		"GET /status":               {"/status", "", "", []auth.Scope{auth.Health, auth.Admin}, 200},
		"GET /debug/pprof/*profile": {"/debug/pprof/cmdline", "", "", admin, 200},
	})
}

func TestDocumentWithTokensDescribesEveryAnswer(t *testing.T) {
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = k.Tokens })
	describes(t, s, []row{
		{"GET", "/accounts/10000", "", nil}, {"GET", "/accounts/10000", "", k.as("read")}, {"GET", "/accounts/10000", "", k.as("write")},
		{"PUT", "/accounts/10000", `{"name":"x"}`, k.as("read")}, {"GET", "/accounts/10000", "", k.as("limited")}, {"GET", "/accounts/10000", "", k.as("limited")},
		{"GET", "/health", "", nil}, {"GET", "/ready?strict", "", nil}, {"GET", "/health/checks/users", "", nil},
		{"GET", "/health", "", []string{"Accept", "application/health+json"}},
	})
	admin := serveAdminWith(t, k.Tokens)
	describes(t, admin, []row{{"GET", "/maintenance", "", nil}, {"GET", "/maintenance", "", k.as("read")}, {"GET", "/maintenance", "", k.as("admin")},
		{"GET", "/maintenance", "", []string{"Sec-Fetch-Site", "cross-site"}}})
}

func TestReasonsAreWithheldInEveryForm(t *testing.T) {
	k := newKeys(t)
	for _, always := range []bool{false, true} {
		s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens, o.ShowReasons = k.Tokens, always })
		for _, path := range []string{"/health", "/health?strict", "/ready", "/ready?strict", "/health/checks/users"} {
			for _, accept := range []string{"", "application/json;q=0.5", "application/health+json", "text/plain"} {
				for name, header := range k.credentials() {
					r := s.do(t, "GET", path, "", append([]string{"Accept", accept}, header...)...)
					shows, withheld := strings.Contains(r.body, "refused"), strings.Contains(r.body, "withheld: a token with the scope health")
					if want := always || name == "health"; shows != want || withheld == want || !strings.Contains(r.body, "users") && path != "/health/checks/users" {
						t.Errorf("%s as %q with %s, details=always %v: %s", path, accept, name, always, r.body)
					}
				}
			}
		}
	}
}

// The probe's socket gives the reasons whatever the request has.
func TestAskedToShowReasonsHealthShowsThem(t *testing.T) {
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = newKeys(t).Tokens })
	r := httptest.NewRequest("GET", "/health", nil)
	answer := ask(s.Config.Handler, r.WithContext(handlers.WithReasons(r.Context())))
	if !strings.Contains(answer.Body.String(), "refused") {
		t.Errorf("%s", answer.Body)
	}
}

func TestTokenIsAskedForBeforeTheBodyIsRead(t *testing.T) {
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = k.Tokens })
	for token, status := range map[string]int{"revoked": 401, "read": 403} {
		conn := s.dial(t, "PUT /accounts/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"+
			"Expect: 100-continue\r\nAuthorization: Bearer "+k.token[token]+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		harness.Must(t, err)
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != status {
			t.Errorf("with %s: %d, want %d", token, resp.StatusCode, status)
		}
	}
}

// As browsers do: they read when all is sent.
func TestClientThatSendsAllOfALongBodyIsToldWhyItIsNotServed(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens, o.Hosts = k.Tokens, []string{"x"} })
	const length = 12 << 20
	for to, status := range map[string]int{
		"/accounts:import HTTP/1.1\r\nHost: x": 401, "/accounts:import HTTP/1.1\r\nHost: y": 421,
		"/account:import HTTP/1.1\r\nHost: x": 404, "/accounts/1 HTTP/1.1\r\nHost: x": 405,
	} {
		header := fmt.Sprintf("POST %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", to, ndjson, length)
		s.raw(t, "POST", header+strings.Repeat(" ", length)).isProblem(t, status)
	}
}

func TestTwoAuthorizationsAreNone(t *testing.T) {
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = k.Tokens })
	line := "Authorization: Bearer " + k.token["read"] + "\r\n"
	for header, status := range map[string]int{line: 200, line + line: 401, strings.Replace(line, "Bearer", "bEARER", 1): 200,
		strings.Replace(line, "Bearer", "Bearer  ", 1): 200} {
		if r := s.raw(t, "GET", "GET /accounts/10000 HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"); r.StatusCode != status {
			t.Errorf("%s= %d, want %d", header, r.StatusCode, status)
		}
	}
}

func TestRateOfATokenIs429(t *testing.T) {
	k := newKeys(t)
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = k.Tokens })
	refused := harness.Until(20*time.Second, func() bool { // a busy machine may take a second for two requests
		r := s.do(t, "GET", "/accounts/10000", "", k.as("limited")...)
		return r.StatusCode == 429 && r.Header.Get("Retry-After") == "1" && r.isProblem(t, 429).Type == "/problems/too-many-requests"
	})
	if !refused {
		t.Error("no request is refused")
	}
	if r := s.do(t, "GET", "/health", "", k.as("limited")...); r.StatusCode != 200 || !strings.Contains(r.body, "refused") {
		t.Errorf("/health = %d %s", r.StatusCode, r.body)
	}
	s.do(t, "GET", "/accounts/10000", "", k.as("read")...).is(t, 200, &store.Account{})
}

func TestPanicIsASilent500AndShowsNoToken(t *testing.T) {
	k := newKeys(t)
	s := serveWith(t, func(real store.Store) store.Store { return storetest.Faulty{Store: real, OnGet: storetest.Panic} },
		func(o *handlers.Options) { o.Tokens = k.Tokens })
	r := s.do(t, "GET", "/accounts/10000", "", append(k.as("read"), "If-Match", "*")...)
	r.isProblem(t, 500)
	if log := s.log.String(); !strings.Contains(log, "request panicked") || !strings.Contains(log, "ordered panic") ||
		strings.Contains(r.body, "ordered") || strings.Contains(log+r.body, k.token["read"]) {
		t.Errorf("%s\n%s", r.body, log)
	}
	s.do(t, "GET", "/accounts", "", k.as("read")...).is(t, 200, &struct{}{})
}

func TestRotatedTokenIsTheSameCaller(t *testing.T) {
	old, first, err := auth.Create("billing", "write", "")
	harness.Must(t, err)
	fresh, second, err := auth.Create("billing", "write", "")
	harness.Must(t, err)
	other, third, err := auth.Create("shop", "write", "")
	harness.Must(t, err)
	tokens := tokensOf(t, first+"\n"+second+"\n"+third+"\n")
	s := serveWith(t, nil, func(o *handlers.Options) { o.Tokens = tokens })
	create := func(token string) (id, replayed string) {
		r := s.do(t, "POST", "/accounts", `{"name":"x"}`, "Idempotency-Key", "k", "Authorization", "Bearer "+token)
		var acc store.Account
		r.is(t, 201, &acc)
		return string(acc.ID), r.Header.Get("Idempotency-Replayed")
	}
	id, _ := create(old)
	if again, replayed := create(fresh); again != id || replayed != "true" {
		t.Errorf("the new token made %s, want %s again", again, id)
	}
	if another, replayed := create(other); another == id || replayed != "" {
		t.Errorf("another caller got %s of the first", another)
	}
}

// A browser says which site asks, for a page of whatever site; GET of a profile costs too.
func TestNoPageOfAnotherSiteAsksTheOperatorsRoutes(t *testing.T) {
	s, r := serveAdmin(t)
	host := s.Listener.Addr().String()
	for _, c := range []struct {
		header []string
		status int
	}{
		{nil, 200}, {[]string{"Sec-Fetch-Site", "none"}, 200}, {[]string{"Sec-Fetch-Site", "same-origin"}, 200}, {[]string{"Origin", "http://" + host}, 200},
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403}, {[]string{"Sec-Fetch-Site", "same-site"}, 403}, {[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403}, {[]string{"Origin", "http://localhost:1"}, 403},
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline", "/maintenance", "/openapi.json"} {
			if r := s.do(t, "GET", path, "", c.header...); r.StatusCode != c.status {
				t.Errorf("GET %s %v = %d, want %d", path, c.header, r.StatusCode, c.status)
			}
		}
		s.do(t, "PUT", "/maintenance", `{"reason":"x","ttl":"1m"}`, c.header...)
		if _, on := r.Maintenance(); on != (c.status == 200) {
			t.Errorf("PUT %v is in force: %v", c.header, on)
		}
		s.do(t, "DELETE", "/maintenance", "")
	}
}
