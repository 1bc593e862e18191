package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// startPrometheus runs Debian's Prometheus, which scrapes the operators' listener of p every second, and returns its
// URL.
func startPrometheus(t *testing.T, p *harness.Process) string {
	t.Helper()
	path, folder := tool(t, "prometheus", "prometheus"), t.TempDir()
	config := filepath.Join(folder, "prometheus.yml")
	harness.Must(t, os.WriteFile(config, fmt.Appendf(nil, "scrape_configs: [{job_name: accountservice, scrape_interval: 1s, "+
		"static_configs: [{targets: [%q]}]}]", strings.TrimPrefix(p.Admin(t), "http://")), 0o600))
	addr := fmt.Sprint("127.0.0.1:", harness.Port(t))
	cmd := exec.CommandContext(t.Context(), path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+addr, "--log.level=error")
	var said harness.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	harness.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", said.String())
		}
	})
	return "http://" + addr
}

// series asks Prometheus how many series an expression finds.
func series(server, expr string) (int, error) {
	status, body := harness.Ask("GET", server+"/api/v1/query?query="+url.QueryEscape(expr), "")
	var answer struct {
		Error string
		Data  struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		return 0, fmt.Errorf("%d %s", status, body)
	}
	if len(answer.Data.Result) == 0 {
		return 0, errors.New("no series")
	}
	return len(answer.Data.Result), nil
}

// A panel of the dashboard whose expression finds nothing would stay empty, and nobody would know.
func TestEveryExpressionOfTheDashboardFindsASeries(t *testing.T) {
	t.Parallel()
	const users = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_"
	p := ready(t, newPath(t), anyAdmin, users+"URL=tcp://127.0.0.1:1", users+"INTERVAL=300ms", users+"TIMEOUT=200ms")
	metrics := startPrometheus(t, p)
	p.Put(t, "10000", "Changed")
	p.Await(t, "/accounts/10000", 200)
	content := []byte(harness.Read(t, "../../configs/grafana-dashboard.json"))
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	harness.Must(t, json.Unmarshal(content, &dashboard))
	asked, ids := 0, make(map[int]bool)
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			asked++
			expr := strings.ReplaceAll(target.Expr, "$instance", ".+")
			if err := harness.Eventually(30*time.Second, func() error {
				p.Put(t, "10001", fmt.Sprint(time.Now().UnixNano())) // rates need a change between two scrapes
				_, err := series(metrics, expr)
				return err
			}); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, expr, err)
			}
		}
	}
	if asked < 20 {
		t.Errorf("the dashboard has %d expressions", asked)
	}
	if _, err := series(metrics, "accountservice_nothing"); err == nil {
		t.Error("an unknown metric has a series")
	}
}
