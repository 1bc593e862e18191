package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/client"
	"accountservice/tests/harness"
)

// beside runs a command with the environment of the service, as docker exec does.
func beside(t *testing.T, p *harness.Process, args ...string) ran {
	t.Helper()
	cmd := exec.Command(binary(), args...)
	cmd.Env = p.Cmd.Env
	return runs(t, cmd)
}

func TestStatusSaysWhatTheProbeSays(t *testing.T) {
	t.Parallel()
	owner := ready(t, newPath(t))
	waiting := start(t, owner.Path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=1m")
	waiting.Says(t, "/health", "another process holds")
	beside(t, waiting, "status").is(t, 1, "starting: opening the database: another process holds", "")
	owner.Await(t, "/health?strict", 200)
	r := beside(t, owner, "status")
	r.is(t, 0, "accountservice dev: OK, ready\nCHECK ", "")
	if got := strings.Fields(strings.SplitAfter(r.Stdout, "LAST RUN")[1]); len(got) < 6 || got[0] != "bolt" || got[1] != "ok" || got[2] != "restart" {
		t.Errorf("%s, want a table that begins with bolt", r.Stdout)
	}
	beside(t, owner, "status", owner.URL).is(t, 0, r.Stdout[:40], "")
	if strings.Contains(r.Stdout, "\x1b") {
		t.Errorf("colours in a pipe: %q", r.Stdout)
	}
	var health checks.HealthDocument
	if r := beside(t, owner, "status", "--json"); json.Unmarshal([]byte(r.Stdout), &health) != nil || len(health.Checks) < 3 {
		t.Errorf("--json: %+v", r)
	}
	owner.Kill(t)
	beside(t, owner, "status").is(t, 1, "", "no accountservice answers here")
	beside(t, owner, "status", owner.URL).is(t, 1, "", "nothing listens on")
	beside(t, owner, "status", "localhost").is(t, 2, "", "URL: must be the address of a service")
	beside(t, owner, "status", "a", "b").is(t, 2, "", "name one URL")
}

func TestStatusHidesReasonsThatItsTokenMayNotSee(t *testing.T) {
	t.Parallel()
	token, line := newToken(t, "--name", "a", "--scopes", "health")
	env, _ := withTokens(t, line)
	p := ready(t, newPath(t), append(env, "ACCOUNTSERVICE_STORE_BOLT_VOLUME=warn",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=tcp://127.0.0.1:1")...)
	p.Says(t, "/health", "users")
	beside(t, p, "status", p.URL).is(t, 0, "withheld", "")
	beside(t, p, "status", p.URL, "--token-file", write(t, token)).is(t, 0, "127.0.0.1:1: connection refused", "")
	beside(t, p, "status").is(t, 0, "127.0.0.1:1: connection refused", "")
}

// A server may send anything, and a terminal obeys escapes.
func TestNothingThatAServerSendsReachesTheTerminalRaw(t *testing.T) {
	t.Parallel()
	const evil = `"\u001b[2J\u009b31m\u202e\nbolt ok"`
	health := fmt.Sprintf(`{"status":"OK","component":{"name":"accountservice","version":%[1]s},"ready":true,"failures":{%[1]s:%[1]s},
		"checks":{%[1]s:{"status":%[1]s,"on_failure":%[1]s,"error":%[1]s,"warning":%[1]s}}}`, evil)
	raw := strings.ReplaceAll(health, `\u009b`, "\u009b")
	order := fmt.Sprintf(`{"active":true,"reason":%s,"until":"2026-01-01T00:00:00Z"}`, evil)
	problem := fmt.Sprintf(`{"title":"x","detail":%s}`, evil)
	for name, c := range map[string]struct {
		code   int
		answer string
		args   []string
		exit   int
	}{
		"table":          {200, health, []string{"status"}, 0},
		"json":           {200, raw, []string{"status", "--json"}, 0},
		"html":           {200, "<b>\x1b[2J", []string{"status"}, 1},
		"another's":      {200, `{"status":"OK","component":{"name":"\u001b"}}`, []string{"status"}, 1},
		"unknown status": {200, strings.Replace(health, `"OK"`, evil, 1), []string{"status"}, 1},
		"OK with 500":    {500, health, []string{"status"}, 1},
		"redirect":       {302, "", []string{"status"}, 1},
		"order":          {200, order, []string{"maintenance", "show"}, 0},
		"order in JSON":  {200, order, []string{"maintenance", "show", "--json"}, 0},
		"refused":        {422, problem, []string{"maintenance", "on", "--reason", "x"}, 1},
		"no order":       {200, "<b>\x1b[2J", []string{"maintenance", "show"}, 1},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/\u009b")
			w.WriteHeader(c.code)
			io.WriteString(w, c.answer)
		}))
		r := runs(t, command("", append(c.args, server.URL)...))
		server.Close()
		if r.Code != c.exit || strings.ContainsAny(r.Stdout+r.Stderr, "\x1b\u009b\u202e") || strings.Contains(r.Stdout, "\nbolt ok") {
			t.Errorf("%s: exit %d, %q, %q", name, r.Code, r.Stdout, r.Stderr)
		}
	}
}

func TestServiceThatHangsIsGivenUpInPlainWords(t *testing.T) {
	t.Parallel()
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	begins := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		args   []string
		answer http.HandlerFunc
		ends   string
	}{
		"status before its answer": {[]string{"status"}, hangs, "\n"},
		"status within its answer": {[]string{"status"}, begins, "\n"},
		"a question":               {[]string{"maintenance", "show"}, hangs, "\n"},
		"an order":                 {[]string{"maintenance", "off"}, hangs, "; it may carry out the order later: ask it by maintenance show\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			defer server.Close()
			begun := time.Now()
			got := runs(t, command("", append(c.args, server.URL)...))
			got.is(t, 1, "", "the service did not answer within 5s: it hangs, or it or its machine is overloaded"+c.ends)
			if took := time.Since(begun); took < answerTimeout || took > 3*answerTimeout || strings.Contains(got.Stderr, "context") {
				t.Errorf("it took %s, and says %s", took, got.Stderr)
			}
		})
	}
}

func TestCutAnswerIsToldWithItsAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "{")
	}))
	defer server.Close()
	runs(t, command("", "status", server.URL)).is(t, 1, "", server.URL+"/health: reading the answer: ")
}

func TestColoursAreAlignedAndOnlyForATerminalThatWantsThem(t *testing.T) {
	t.Parallel()
	var health checks.HealthDocument
	harness.Must(t, json.Unmarshal([]byte(`{"status":"Partially Available","checks":{
		"a":{"status":"ok"},"warns":{"status":"ok","warning":"soon"},"users":{"status":"failing","error":"gone"}}}`), &health))
	var coloured, plainText bytes.Buffer
	harness.Must(t, writeHealth(&coloured, health, true))
	harness.Must(t, writeHealth(&plainText, health, false))
	for _, want := range []string{yellow + "Partially", red + "not ready", red + "failing", green + "ok", yellow + "ok"} {
		if !strings.Contains(coloured.String(), want) {
			t.Errorf("%q lacks %q", &coloured, want)
		}
	}
	stripped := strings.NewReplacer(plain, "", red, "", green, "", yellow, "").Replace(coloured.String())
	columns := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if columns(stripped) != columns(plainText.String()) {
		t.Errorf("%q, want %q", stripped, &plainText)
	}
	lines := strings.Split(strings.TrimSpace(stripped), "\n")
	if at := strings.Index(lines[1], "STATUS"); !strings.HasPrefix(lines[2], "users ") ||
		strings.Index(lines[2], "failing") != at || strings.Index(lines[3], "ok") != at {
		t.Errorf("%s, want what fails first, and columns", stripped)
	}
	terminal := func(env ...string) string { // script gives the command a terminal
		cmd := exec.Command("script", "-qec", binary()+" status", "/dev/null")
		cmd.Env = append(append(os.Environ(), "TERM=xterm"), env...)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("needs script, which is in Debian's package bsdutils")
	}
	p := ready(t, newPath(t))
	for _, allowed := range []string{"TERM=xterm", "NO_COLOR="} { // an empty one is none
		if out := terminal(append(p.Cmd.Env, allowed)...); !strings.Contains(out, green+"OK") && !strings.Contains(out, yellow+"Partially") {
			t.Errorf("with %s a terminal gets %q", allowed, out)
		}
	}
	for _, refused := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if out := terminal(append(p.Cmd.Env, refused)...); strings.Contains(out, "\x1b") || !strings.Contains(out, "bolt") {
			t.Errorf("with %s a terminal gets %q", refused, out)
		}
	}
}

func TestMaintenanceByCommand(t *testing.T) {
	t.Parallel()
	token, line := newToken(t, "--name", "a", "--scopes", "admin")
	env, _ := withTokens(t, line)
	port := harness.Port(t)
	for name, env := range map[string][]string{
		"loopback": {fmt.Sprint("ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:", port)},
		"all":      append(env, fmt.Sprint("ACCOUNTSERVICE_ADMIN_ADDR=0.0.0.0:", port), "ACCOUNTSERVICE_TOKEN_FILE="+write(t, token)),
	} {
		p := ready(t, newPath(t), env...)
		beside(t, p, "maintenance", "show").is(t, 0, "not in maintenance\n", "")
		beside(t, p, "maintenance", "on", "--reason", "a new disk", "--ttl", "10m").is(t, 0, "in maintenance until 20", "")
		if _, body := p.Get("/ready"); !strings.Contains(body, "a new disk") && !strings.Contains(body, "withheld") {
			t.Errorf("%s: /ready = %s", name, body)
		}
		beside(t, p, "maintenance", "show", p.Admin(t)).is(t, 0, ": a new disk\n", "")
		beside(t, p, "maintenance", "show", "--json").is(t, 0, `{"active":true,"reason":"a new disk","since":"20`, "")
		beside(t, p, "maintenance", "on", "--reason", "x", "--ttl", "25h").is(t, 1, "", "422")
		beside(t, p, "maintenance", "on").is(t, 2, "", "say why, with --reason")
		beside(t, p, "maintenance", "off").is(t, 0, "not in maintenance\n", "")
		p.Await(t, "/ready", 200)
		p.Stop(t, 0)
		beside(t, p, "maintenance", "show").is(t, 1, "", "nothing listens on 127.0.0.1:")
	}
	beside(t, &harness.Process{Cmd: command("", "")}, "maintenance", "show", "--config", write(t, "admin: {addr: off}")).is(t, 2, "", "admin.addr is off")
	beside(t, &harness.Process{Cmd: command("", "")}, "maintenance", "show", "--config", write(t, `admin: {addr: "localhost:0"}`)).is(t, 2, "", "give the URL")
}

func TestOperatorsAreAskedAtTheAddressOfTheConfiguration(t *testing.T) {
	for addr, want := range map[string]string{
		":6768": "http://127.0.0.1:6768", "0.0.0.0:6768": "http://127.0.0.1:6768", "[::]:6768": "http://[::1]:6768",
		"admin.test:6768": "http://admin.test:6768", "[fe80::1%eth0]:6768": "http://[fe80::1%25eth0]:6768",
	} {
		url, err := adminURL(config.Admin{Addr: addr})
		if err == nil {
			_, err = client.New(url, "")
		}
		if err != nil || url != want {
			t.Errorf("%s: %s, %v; want %s", addr, url, err, want)
		}
	}
}
