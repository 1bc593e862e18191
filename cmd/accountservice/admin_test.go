package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// anyAdmin lets the system pick the operators' port; the log tells which.
const anyAdmin = "ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0"

// order asks the operators' listener.
func order(t *testing.T, p *harness.Process, method, path, body string) (int, string) {
	t.Helper()
	return harness.Ask(method, p.Admin(t)+path, body)
}

func TestMaintenanceOfARunningService(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=5s")
	if status, body := order(t, p, "PUT", "/maintenance", `{"reason":"a new disk","ttl":"1h"}`); status != 200 {
		t.Fatalf("PUT = %d %s", status, body)
	}
	if status, body := p.Get("/ready"); status != 503 || !regexp.MustCompile(`until \S+Z: a new disk`).MatchString(body) {
		t.Errorf("/ready = %d %s, want 503 with reason and end", status, body)
	}
	for _, path := range []string{"/health", "/accounts/10000", "/ready?exclude=maintenance"} {
		p.Answers(t, path, 200, "")
	}
	order(t, p, "PUT", "/maintenance", `{"reason":"a new disk","ttl":"1s"}`)
	p.Await(t, "/ready", 200) // it ends by itself
	order(t, p, "PUT", "/maintenance", `{"reason":"the node is replaced","ttl":"1h"}`)
	p.Await(t, "/ready", 503)
	p.Signal(t, syscall.SIGTERM)
	p.Says(t, "/ready", "told to stop")
	if status, _ := order(t, p, "DELETE", "/maintenance", ""); status != 204 { // operators are served to the end
		t.Errorf("DELETE while draining = %d", status)
	}
	p.Answers(t, "/ready", 503, "")
	p.Exits(t, 0)
	p.Logs(t, `"msg":"maintenance began"`)
	p.Logs(t, `"msg":"maintenance ended","by":"time"`)
}

// Connections to the operators' address need no token, so they are bounded. Those that are kept alive are closed first.
func TestOperatorsConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	var kept []net.Conn
	for range 4 * adminLimits.Connections {
		conn := dial(t, p.Admin(t))
		io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Errorf("a new connection gets no answer: %v", err)
		}
		kept = append(kept, conn)
	}
	open := 0
	for _, conn := range kept {
		conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	if most := adminLimits.Connections * 5 / 4; open > most {
		t.Errorf("%d connections are open, want at most %d", open, most)
	}
	if status, body := order(t, p, "GET", "/maintenance", ""); status != 200 {
		t.Errorf("beside them: %d %s", status, body)
	}
}

// tool is the path of a program of this Debian package. Without it the test is skipped; in CI it fails.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip := t.Skipf
		if os.Getenv("CI") != "" {
			skip = t.Fatalf
		}
		skip("needs %s, which is in Debian's package %s", name, pkg)
	}
	return path
}

// promtool is Prometheus's own reader of metrics and rules.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool", "prometheus"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	harness.Output(t, cmd)
}

func TestAlertsPassPromtool(t *testing.T) {
	promtool(t, "", "check", "config", "../../configs/prometheus.yml")
	promtool(t, "", "check", "rules", "../../configs/prometheus-rules.yml")
	promtool(t, "", "test", "rules", "testdata/prometheus-rules.test.yml")
}

// An alert on a name that nobody shows would never fire, and nobody would know.
func TestAlertsDashboardAndDocumentsNameMetricsThatAreShown(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin, "ACCOUNTSERVICE_BACKUP_TO="+t.TempDir(), "ACCOUNTSERVICE_NOTIFY_URL=http://127.0.0.1:1/")
	p.Await(t, "/accounts/10000", 200)
	var text string
	harness.Until(10*time.Second, func() bool { // the accounts are counted after the start
		_, text = order(t, p, "GET", "/metrics", "")
		return strings.Contains(text, "\naccountservice_accounts ")
	})
	for _, file := range []string{
		"../../configs/prometheus-rules.yml", "../../configs/grafana-dashboard.json", "../../docs/operating.md", "../../docs/backup.md",
	} {
		content := []byte(harness.Read(t, file))
		if strings.HasSuffix(file, "json") && !json.Valid(content) {
			t.Errorf("%s is no JSON", file)
		}
		names := regexp.MustCompile(`(\b(accountservice|process|go)|…)_[a-z_]+`).FindAll(content, -1)
		if len(names) < 5 {
			t.Fatalf("%s names %q", file, names)
		}
		for _, name := range names {
			if !regexp.MustCompile(`(?m)^(# TYPE )?` + string(name) + `[ {]`).MatchString(text) {
				t.Errorf("%s names %s, which is not in /metrics", file, name)
			}
		}
	}
	t.Run("promtool", func(t *testing.T) { promtool(t, text, "check", "metrics") })
}

// A request to /health reads the published answer: 10,000 of them, or 2000 in a short run, cause no request to a
// dependency.
func TestRequestsDriveNoChecks(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	users := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer users.Close()
	const interval = 200 * time.Millisecond
	const prefix = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_"
	p := start(t, newPath(t), anyAdmin, prefix+"URL="+users.URL, prefix+"TIMEOUT=150ms", prefix+"INTERVAL="+interval.String())
	p.Await(t, "/health/checks/users", 200)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer client.CloseIdleConnections()
	before, begin := hits.Load(), time.Now()
	paths := []string{"/health", "/ready", "/health?strict", "/ready?exclude=users", "/health/checks/users"}
	var requests sync.WaitGroup
	each := often(100, 500)
	for range 20 {
		requests.Go(func() {
			for i := range each {
				resp, err := client.Get(p.URL + paths[i%len(paths)])
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	requests.Wait()
	harness.Until(20*time.Second, func() bool { return hits.Load() > before }) // a short run can be over before
	order(t, p, "GET", "/metrics", "")
	took, got := time.Since(begin), hits.Load()-before
	most := int64(took/(interval*9/10)) + 1 // the schedule alone: intervals are up to 10 % shorter by chance
	if got > most || got < 1 {
		t.Errorf("%d hits during %d requests in %s; the schedule makes at most %d", got, 20*each, took, most)
	}
}

// net/http would log what comes on an idle connection.
func TestWhatADependencySendsUnaskedIsNotLogged(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	users := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		hits.Add(1)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokhunter2")
		io.Copy(io.Discard, conn)
		conn.Close()
	}))
	defer users.Close()
	p := start(t, newPath(t), "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+users.URL, "ACCOUNTSERVICE_CHECKS_INTERVAL=200ms",
		"ACCOUNTSERVICE_CHECKS_TIMEOUT=150ms")
	p.Await(t, "/health/checks/users", 200)
	harness.WaitFor(t, 30*time.Second, "a new connection for each run", func() bool { return hits.Load() > 2 })
	p.Stop(t, 0)
	p.NeverLogged(t, "hunter2")
}

func TestLevelOfTheLogOfARunningService(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	p.Await(t, "/accounts/10000", 200)
	p.NeverLogged(t, `"level":"DEBUG"`)
	if status, body := order(t, p, "PUT", "/log-level", `{"level":"debug"}`); status != 200 || body != `{"level":"debug"}`+"\n" {
		t.Errorf("PUT = %d %s", status, body)
	}
	p.Logs(t, `"msg":"log level changed until the process ends","from":"INFO","to":"DEBUG"`)
	harness.Ask("GET", p.URL+"/accounts/nobody", "", "Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	p.Logs(t, `"trace_id":"`+trace+`"`)
	order(t, p, "PUT", "/log-level", `{"level":"error"}`)
	p.Stop(t, 0)
	p.NeverLogged(t, `"msg":"draining"`)
}
