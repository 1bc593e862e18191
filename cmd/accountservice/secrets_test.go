package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// Every secret of a run is looked for in everything that the service says to anybody.
func TestNoSecretIsEverShown(t *testing.T) {
	t.Parallel()
	token, first := newToken(t, "--name", "all", "--scopes", "read,write,admin,health")
	reader, second := newToken(t, "--name", "reader", "--scopes", "read")
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	env, path := withTokens(t, first, second)
	settings, secrets := secretSettings(t)
	const userURL = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="
	dependency := strings.Replace(sick.URL, "http://", "http://user:pass-hunter2@", 1)
	headers := strings.Replace(userURL, "USERS", "GUESTS", 1) + sick.URL + "/path-hunter2?code=query-hunter2&header_file=" + write(t, "Authorization: Bearer header-hunter2\n")
	env = append(append(env, settings...), "ACCOUNTSERVICE_LOG_LEVEL=debug", "ACCOUNTSERVICE_ADMIN_ADDR=0.0.0.0:0", userURL+dependency, headers)
	maps.Copy(secrets, map[string]string{"token": token, "read token": reader, "unknown token": "unknown-hunter2", "header": "header-hunter2", "path": "path-hunter2", "query": "query-hunter2",
		"password": "pass-hunter2", "password as it is sent": "dXNlcjpwYXNzLWh1bnRlcjI"})
	for _, line := range []string{first, second} {
		fields := strings.Split(strings.TrimSpace(line), ":")
		secrets["hash of "+fields[0]] = fields[2]
	}
	looked := 0
	look := func(where, text string) {
		t.Helper()
		looked++
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s has the %s", where, name)
			}
		}
	}
	p := ready(t, newPath(t), env...)
	p.Await(t, "/health/checks/users", 503)
	p.Await(t, "/health/checks/guests", 503)
	p.Await(t, "/health/checks/sick", 503)
	admin := p.Admin(t)
	for range 20 { // so that profiles have something to show
		for _, header := range [][]string{nil, bearer(token), bearer(reader), bearer("unknown-hunter2"), {"Authorization", "Basic unknown-hunter2"}} {
			for _, target := range []string{"GET /accounts/10000", "GET /accounts?limit=5", "PUT /accounts/x", "POST /accounts:import", "GET /nothing",
				"GET /health", "GET /ready?strict", "GET /health/checks/users", "GET /health/checks/guests", "GET /health/checks/sick", "GET /openapi.json", "GET /docs", "TRACE /accounts/10000"} {
				method, target, _ := strings.Cut(target, " ")
				body := ""
				if method[0] == 'P' {
					body = `{"name":"x","labels":{"a":1}}`
				}
				_, text := harness.Ask(method, p.URL+target, body, header...)
				look(method+" "+target, text)
			}
		}
	}
	for _, target := range []string{"/metrics", "/maintenance", "/status", "/openapi.json", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs", "/debug/pprof/goroutine", "/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2",
		"/debug/pprof/trace?seconds=0.2", "/debug/pprof/profile?seconds=1"} {
		for _, header := range [][]string{nil, bearer(reader), bearer(token)} {
			status, text := harness.Ask("GET", admin+target, "", header...)
			look(fmt.Sprint(target, " = ", status), text)
			look(target+" unpacked", unpacked(text))
		}
	}
	renameOver(t, path, first+token+"\n"+reader+":read:"+token) // who puts the token there instead of its hash
	_, text := "", ""
	if !harness.Until(20*time.Second, func() bool {
		_, text = harness.Ask("GET", p.URL+"/health/checks/auth", "", bearer(token)...)
		return strings.Contains(text, "line 2: must be")
	}) {
		t.Errorf("/health/checks/auth = %s", text)
	}
	look("the check auth", text)
	got := probe(t, p)
	look("the probe", got.Stdout+got.Stderr)
	p.Logs(t, "heartbeats are not taken")
	p.Stop(t, 0)
	look("the log", p.Log.String())
	delete(secrets, "path") // config print shows what an operator wrote
	delete(secrets, "query")
	for _, args := range [][]string{{"config", "print"}, {"config", "print", "--format", "json"}, {"config", "print", "--format", "env"}, {"config", "check"}, {"config", "check", "--ask"}, nil} {
		r := runs(t, with(with(command(newPath(t), args...), env...), "ACCOUNTSERVICE_TOKEN="+token))
		look(fmt.Sprint(args), r.Stdout+r.Stderr)
	}
	for _, args := range [][]string{{"migrate", "status"}, {"config", "print"}, {"config", "check", "--ask"}} { // they ask the server, which is not there
		r := runs(t, with(with(command("", args...), env...), "ACCOUNTSERVICE_STORE_DRIVER=postgres"))
		if look(fmt.Sprint(args, " of PostgreSQL"), r.Stdout+r.Stderr); args[0] == "migrate" && !strings.Contains(r.Stderr, "127.0.0.1:1") {
			t.Errorf("%q does not ask the server: %+v", args, r.Result)
		}
	}
	t.Logf("%d texts, %d secrets", looked, len(secrets))
}

// unpacked is the content of a profile, which is gzip.
func unpacked(text string) string {
	reader, err := gzip.NewReader(bytes.NewReader([]byte(text)))
	if err != nil {
		return text
	}
	content, _ := io.ReadAll(reader)
	return string(content)
}
