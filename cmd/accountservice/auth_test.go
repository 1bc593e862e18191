package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// newToken is what accountservice token create prints.
func newToken(t *testing.T, args ...string) (token, line string) {
	t.Helper()
	r := runs(t, command("", append([]string{"token", "create"}, args...)...))
	lines := strings.Split(r.Stdout, "\n")
	if r.Code != 0 || len(lines) != 3 || lines[2] != "" || r.Stderr != "" {
		t.Fatalf("token create ends with %+v, want two lines", r.Result)
	}
	return lines[0], lines[1] + "\n"
}

// withTokens are the settings of a service with these lines in its file of tokens.
func withTokens(t *testing.T, lines ...string) (env []string, path string) {
	t.Helper()
	path = write(t, strings.Join(lines, ""))
	harness.Must(t, os.Chmod(path, 0o600))
	return []string{"ACCOUNTSERVICE_AUTH_MODE=tokens", "ACCOUNTSERVICE_AUTH_TOKENS_PATH=" + path}, path
}

// bearer is the header of a request with a token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func TestCommandsShowTheServiceTheirToken(t *testing.T) {
	t.Parallel()
	token, first := newToken(t, "--name", "operator", "--scopes", "read,write", "--rate", "1000/s")
	reader, second := newToken(t, "--name", "reader", "--scopes", "read")
	env, _ := withTokens(t, first, second)
	p := ready(t, newPath(t), append(env, "ACCOUNTSERVICE_LOG_LEVEL=debug")...)
	accounts, own, others := write(t, line(1)), write(t, "\ufeff"+token+"\r\n"), write(t, reader)
	remote := func(args ...string) func(...string) ran {
		return func(env ...string) ran {
			r := runs(t, with(command("", append(args, "--url", p.URL)...), env...))
			if strings.Contains(r.Stdout+r.Stderr, token) || strings.Contains(r.Stdout+r.Stderr, reader) {
				t.Errorf("%q prints the token: %+v", args, r.Result)
			}
			return r
		}
	}
	remote("import", accounts)().is(t, 1, "", "401 Unauthorized This needs a token: Authorization: Bearer TOKEN. Nothing was changed. "+
		"Give one by --token-file or ACCOUNTSERVICE_TOKEN")
	remote("import", accounts, "--token-file", others)().is(t, 1, "", "403 Forbidden The token lacks the scope write.")
	remote("import", accounts, "--token-file", own)("ACCOUNTSERVICE_TOKEN=other").is(t, 0, "1 created", "")
	remote("export")("ACCOUNTSERVICE_TOKEN="+reader).is(t, 0, "acc-0000001", "exported 101")
	remote("export")("ACCOUNTSERVICE_TOKEN_FILE="+own).is(t, 0, "acc-0000001", "exported 101")
	remote("export")("ACCOUNTSERVICE_TOKEN="+token+"x").is(t, 1, "", "401 Unauthorized")
	remote("export")("ACCOUNTSERVICE_TOKEN="+token+" "+reader).is(t, 2, "", "ACCOUNTSERVICE_TOKEN must hold one token")
	remote("export")("ACCOUNTSERVICE_TOKEN="+token, "ACCOUNTSERVICE_TOKEN_FILE="+own).is(t, 2, "", "are both set")
	remote("export", "--token-file", write(t, "\n"))().is(t, 2, "", "must hold one token")
	remote("export", "--token-file", "/nothing")().is(t, 2, "", "reading the token: open /nothing")
	p.Stop(t, 0)
	p.NeverLogged(t, token, reader)
}

func TestBadTokensAreAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	_, line := newToken(t, "--name", "a", "--scopes", "read")
	env, path := withTokens(t, line, "b:raed:00\n")
	for _, args := range [][]string{nil, {"config", "check"}} {
		database := newPath(t)
		runs(t, with(command(database, args...), env...)).is(t, 2, "", path+": line 2: the scopes must be some of")
		absent(t, database)
	}
	for _, args := range [][]string{{"--name", "a", "--scopes", "all"}, {"--name", "a:b", "--scopes", "read"},
		{"--name", "a", "--scopes", "read", "--rate", "5"}} {
		runs(t, command("", append([]string{"token", "create"}, args...)...)).is(t, 2, "", "")
	}
	for _, args := range [][]string{nil, {"--name", "a"}, {"--scopes", "read"}} {
		runs(t, command("", append([]string{"token", "create"}, args...)...)).is(t, 2, "", "say who gets it, with --name, and ")
	}
}

func TestServiceThatIsOpenToAllWarnsOnce(t *testing.T) {
	t.Parallel()
	const admin = "ACCOUNTSERVICE_ADMIN_ADDR=0.0.0.0:0"
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"loopback":     {nil, ""},
		"all":          {[]string{"ACCOUNTSERVICE_HTTP_HOST=0.0.0.0"}, "read and change all accounts (http.host 0.0.0.0); see"},
		"operators":    {[]string{admin}, "take profiles and send the traffic away (admin.addr 0.0.0.0:0)"},
		"any name":     {[]string{"ACCOUNTSERVICE_HTTP_HOST=ip6-localhost"}, "(http.host ip6-localhost)"},
		"localhost":    {[]string{"ACCOUNTSERVICE_HTTP_HOST=localhost"}, ""},
		"no host":      {[]string{"ACCOUNTSERVICE_HTTP_HOST="}, ""},
		"whole of 127": {[]string{"ACCOUNTSERVICE_HTTP_HOST=127.9.9.9"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs(t, with(command(newPath(t), "config", "check"), c.env...)).is(t, 0, c.want, "")
			if c.want == "" || name == "any name" { // not every machine has it
				return
			}
			p := ready(t, newPath(t), c.env...)
			p.Says(t, "/health/checks/auth", c.want)
			p.Await(t, "/health?strict", 200)
			if h := p.Health(); h.Checks["auth"].Status != "ok" {
				t.Errorf("/health = %+v, want OK with a warning", h)
			}
			p.Logs(t, c.want)
			p.Stop(t, 0)
			if n := strings.Count(p.Log.String(), `"level":"WARN"`); n != 1 {
				t.Errorf("%d warnings in the log, want 1:\n%s", n, p.Log)
			}
		})
	}
}

func TestProbeSeesTheReasonsThatOthersDoNot(t *testing.T) {
	t.Parallel()
	_, err := buildProbe() // it takes longer than the service waits
	harness.Must(t, err)
	token, line := newToken(t, "--name", "monitor", "--scopes", "health")
	env, _ := withTokens(t, line)
	owner := ready(t, newPath(t))
	p := start(t, owner.Path, append(env, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=1m")...)
	probeSays(t, p, 1, "starting: opening the database: another process holds "+owner.Path)
	for _, path := range []string{"/health", "/ready", "/health/checks/bolt"} {
		if status, body := p.Get(path); status != 503 || strings.Contains(body, owner.Path) || !strings.Contains(body, "withheld: ") {
			t.Errorf("%s = %d %s, want 503 without the path", path, status, body)
		}
		if status, body := harness.Ask("GET", p.URL+path, "", bearer(token)...); status != 503 || !strings.Contains(body, owner.Path) {
			t.Errorf("%s with the scope health = %d %s", path, status, body)
		}
	}
}

func TestOperatorsBeyondLoopbackNeedTokens(t *testing.T) {
	t.Parallel()
	admin, first := newToken(t, "--name", "operator", "--scopes", "admin")
	scraper, second := newToken(t, "--name", "prometheus", "--scopes", "health")
	env, _ := withTokens(t, first, second)
	for addr, open := range map[string]bool{"127.0.0.1:0": true, "0.0.0.0:0": false} {
		p := ready(t, newPath(t), append(env, "ACCOUNTSERVICE_ADMIN_ADDR="+addr)...)
		for path, status := range map[string][3]int{ // without a token, health, admin
			"/metrics": {401, 200, 200}, "/debug/pprof/": {401, 403, 200}, "/maintenance": {401, 403, 200}, "/openapi.json": {200, 200, 200},
		} {
			for i, header := range [][]string{nil, bearer(scraper), bearer(admin)} {
				want := status[i]
				if open {
					want = 200
				}
				if got, body := harness.Ask("GET", p.Admin(t)+path, "", header...); got != want {
					t.Errorf("%s of %s = %d %.200s, want %d", path, addr, got, body, want)
				}
			}
		}
	}
}

// renameOver replaces a file as an operator does.
func renameOver(t *testing.T, path, text string) {
	t.Helper()
	harness.Must(t, os.WriteFile(path+".new", []byte(text), 0o600))
	harness.Must(t, os.Rename(path+".new", path))
}

// Each token is used while it is in force, while it is not, and never in between: the change takes up to two readings.
func TestTokensChangeUnderLoadWithoutAWrongAnswer(t *testing.T) {
	t.Parallel()
	kept, first := newToken(t, "--name", "kept", "--scopes", "read")
	rotated, second := newToken(t, "--name", "rotated", "--scopes", "read")
	env, path := withTokens(t, first)
	p := ready(t, newPath(t), append(env, quick...)...)
	var asked, wrong atomic.Int64
	ask := func(token string, want int) {
		asked.Add(1)
		if status, body := harness.Ask("GET", p.URL+"/accounts/10000", "", bearer(token)...); status != want {
			if wrong.Add(1) < 5 {
				t.Errorf("= %d %s, want %d", status, body, want)
			}
		}
	}
	done := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					ask(kept, 200)
					ask("unknown", 401)
				}
			}
		})
	}
	becomes := func(status int) {
		t.Helper()
		harness.WaitFor(t, 20*time.Second, fmt.Sprint(status, " for the rotated token"), func() bool {
			got, _ := harness.Ask("GET", p.URL+"/accounts/10000", "", bearer(rotated)...)
			return got == status
		})
		for range 50 {
			ask(rotated, status)
		}
	}
	for range often(1, 3) {
		renameOver(t, path, first+second)
		becomes(200)
		harness.Must(t, os.WriteFile(path, []byte("nonsense"), 0o600))
		p.Await(t, "/health/checks/auth", 503)
		becomes(200)
		renameOver(t, path, first)
		becomes(401)
		p.Await(t, "/health/checks/auth", 200)
		harness.Must(t, os.Remove(path))
		p.Await(t, "/health/checks/auth", 503)
		renameOver(t, path, first)
		p.Await(t, "/health/checks/auth", 200)
	}
	close(done)
	load.Wait()
	t.Logf("%d requests, %d wrong answers", asked.Load(), wrong.Load())
}
