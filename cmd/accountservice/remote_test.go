package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// against serves h and returns what a command said against it.
func against(t *testing.T, h http.HandlerFunc, args ...string) ran {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	return runs(t, command("", append(args, "--url", server.URL+"/behind/")...))
}

func TestExportThatIsNotProvedWholeReplacesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a login page": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<html>Who are you?</html>")
		}, `/behind/accounts:export: the answer is no export: its Content-Type is "text/html; charset=utf-8", not application/x-ndjson`},
		"of no type": {func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil }, "the answer is no export"},
		"without its trailer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ndjson)
			io.WriteString(w, line(1))
		}, "the export may be cut: it came without the trailer Content-Digest"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ndjson)
			io.WriteString(w, line(1))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "the export was cut: unexpected EOF"},
		"changed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ndjson)
			w.Header().Set("Trailer", "Content-Digest")
			io.WriteString(w, line(1))
			w.Header().Set("Content-Digest", "sha-256=:AAAA:")
		}, "the export was changed on its way"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			io.WriteString(w, `{"detail":"The accounts cannot be reached now."}`)
		}, "/behind/accounts:export: 503 Service Unavailable The accounts cannot be reached now."},
	} {
		t.Run(name, func(t *testing.T) {
			out := write(t, "old")
			against(t, c.serve, "export", "--output", out).is(t, 1, "", c.want)
			holds(t, out, "old")
			if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) != 1 {
				t.Errorf("%v, %v", entries, err)
			}
		})
	}
}

func TestExportRemovesWhatAKilledOneLeftAndNothingOfOneUnderWay(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ndjson)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	path, out := newPath(t), write(t, "old")
	runs(t, command(path, "import", write(t, line(1)))).is(t, 0, "1 created", "")
	parts := func() int { return len(glob(t, filepath.Dir(out)+"/.*")) }
	hangs := func(all int) *exec.Cmd {
		cmd := command("", "export", "--url", server.URL, "--output", out)
		harness.Must(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		harness.WaitFor(t, 20*time.Second, fmt.Sprint(all, " parts"), func() bool { return parts() == all })
		return cmd
	}
	hangs(1)
	killed := hangs(2)
	killed.Process.Kill()
	killed.Wait()
	runs(t, command(path, "export", "--output", out)).is(t, 0, "", "exported 1 accounts")
	if holds(t, out, line(1)); parts() != 1 {
		t.Errorf("%d parts, want that of the one under way", parts())
	}
}

func TestFaultsThatOnlyTheServiceFindsHaveTheLinesOfTheFile(t *testing.T) {
	t.Parallel()
	file := write(t, "\n"+line(1)+"\n\n"+line(2))
	r := against(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(422)
		io.WriteString(w, `{"errors":[{"line":2,"pointer":"#/name","detail":"is too rude"}]}`)
	}, "import", file)
	r.is(t, 1, "imported 0 lines", file+":5: #/name: is too rude\n")
}

func TestImportWaitsForAServiceThatIsBusyAndNotForOneThatRefuses(t *testing.T) {
	t.Parallel()
	file := write(t, line(1))
	calls := 0
	r := against(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader([]int{429, 507}[calls-1])
			io.WriteString(w, `{"title":"No space left","detail":"The lines before 7 are stored.","imported":{}}`)
			return
		}
		io.WriteString(w, `{"created":0,"replaced":0,"unchanged":1,"lines":1}`)
	}, "import", file)
	if r.is(t, 0, "1 unchanged", "trying again in 1s"); strings.Count(r.Stderr, "trying again") != 2 ||
		!strings.Contains(r.Stderr, "507 Insufficient Storage No space left;") || strings.Contains(r.Stderr, "before 7") {
		t.Errorf("%s", r.Stderr)
	}
	calls = 0
	r = against(t, func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(404) }, "import", file)
	if r.is(t, 1, "", "404 Not Found"); calls != 1 {
		t.Errorf("asked %d times", calls)
	}
}

func TestExportWaitsForAServiceThatIsBusy(t *testing.T) {
	t.Parallel()
	out, calls := write(t, "old"), 0
	r := against(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader([]int{429, 503}[calls-1])
			io.WriteString(w, `{"detail":"Too many exports are under way."}`)
			return
		}
		sum := sha256.Sum256([]byte(line(1)))
		w.Header().Set("Content-Type", ndjson)
		w.Header().Set("Trailer", "Content-Digest")
		io.WriteString(w, line(1))
		w.Header().Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	}, "export", "--output", out)
	if r.is(t, 0, "", "429 Too Many Requests Too many exports are under way.; trying again in 1s"); calls != 3 {
		t.Errorf("asked %d times", calls)
	}
	holds(t, out, line(1))
}

func TestAnswerThatDoesNotCountTheAccountsIsNoSuccess(t *testing.T) {
	t.Parallel()
	file := write(t, line(1)+line(2))
	for _, answer := range []string{`{"status":"ok"}`, `{"created":1,"replaced":0,"unchanged":0,"lines":2}`, "<html>Who are you?</html>", "null", ""} {
		calls := 0
		r := against(t, func(w http.ResponseWriter, _ *http.Request) { calls++; io.WriteString(w, answer) }, "import", file)
		r.is(t, 1, "imported 0 lines", "/behind/accounts:import: the answer is not of accounts:import")
		if r.is(t, 1, "", "The lines to 2 may be stored"); calls != 1 {
			t.Errorf("%s: asked %d times", answer, calls)
		}
	}
}

// A proxy reads what it is sent in plain HTTP. It may have the accounts, if it is there, but not the token or a
// password.
func TestTokenIsShownToNoProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if auth := r.Header.Get("Authorization"); auth != "" {
			t.Errorf("the proxy gets %s", auth)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	const token = "ACCOUNTSERVICE_TOKEN=acct_hunter2"
	for name, c := range map[string]struct {
		url   string
		env   []string
		code  int
		words string
		asked int64
	}{
		"http":           {"http://accounts.invalid", []string{token}, 2, "would read the token: use https, or name accounts.invalid in NO_PROXY", 0},
		"a password":     {"http://me:hunter2@accounts.invalid", nil, 2, "would read the token", 0},
		"NO_PROXY":       {"http://accounts.invalid", []string{token, "NO_PROXY=accounts.invalid"}, 1, "accounts.invalid", 0},
		"this machine":   {"http://127.0.0.1:1", []string{token}, 1, "nothing listens on 127.0.0.1:1", 0},
		"https":          {"https://accounts.invalid", []string{token}, 1, "Forbidden", 1}, // by CONNECT, without a header of ours
		"without secret": {"http://accounts.invalid", nil, 1, "403 Forbidden", 1},
	} {
		asked.Store(0)
		r := runs(t, with(with(command("", "export", "--url", c.url), "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL), c.env...))
		if r.is(t, c.code, "", c.words); strings.Contains(r.Stdout+r.Stderr, "hunter2") || asked.Load() != c.asked {
			t.Errorf("%s: the proxy is asked %d times, want %d: %+v", name, asked.Load(), c.asked, r.Result)
		}
	}
}
