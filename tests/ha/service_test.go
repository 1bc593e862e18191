//go:build linux

package ha

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// proxyPort is HAProxy's, as in configs/haproxy.cfg.
const proxyPort = 8080

// service is three replicas behind HAProxy.
type service struct {
	url      string
	replicas []*harness.Process
	program  string
}

// url is where the service finds the cluster.
func (c *cluster) url(database string) string {
	var hosts []string
	for _, n := range c.nodes {
		hosts = append(hosts, n.addr+":5432")
	}
	return "postgres://postgres:unused@" + strings.Join(hosts, ",") + "/" + database + "?target_session_attrs=read-write&sslmode=disable"
}

// environment makes the service one that keeps its accounts in the cluster.
func (c *cluster) environment() []string {
	return []string{"ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=" + c.url("postgres"),
		"ACCOUNTSERVICE_STORE_POSTGRES_REQUIRE_SYNC=true", "ACCOUNTSERVICE_STORE_SEED=0"}
}

// newService migrates the database and starts the replicas and HAProxy.
func newService(t *testing.T, folder string, c *cluster) *service {
	t.Helper()
	s := &service{url: fmt.Sprint("http://127.0.0.1:", proxyPort), program: filepath.Join(folder, "bin", "accountservice")}
	migrate := exec.Command(s.program, "migrate", "up")
	migrate.Env = append(os.Environ(), c.environment()...)
	harness.Output(t, migrate)
	for range 3 {
		s.replicas = append(s.replicas, harness.Start(t, exec.Command(s.program), "", c.environment()...))
	}
	for _, r := range s.replicas {
		r.Await(t, "/ready", http.StatusOK)
	}
	s.startProxy(t)
	return s
}

// startProxy starts HAProxy by configs/haproxy.cfg, in the form that its comment gives for replicas outside of a Swarm.
func (s *service) startProxy(t *testing.T) {
	t.Helper()
	content := harness.Read(t, "../../configs/haproxy.cfg")
	text := regexp.MustCompile(`(?ms)^resolvers docker\n.*?\n\n`).ReplaceAllString(content, "")
	text = strings.Replace(text, " resolvers docker init-addr libc,none", "", 1)
	var servers strings.Builder
	for i, r := range s.replicas {
		fmt.Fprintf(&servers, "    server replica%d 127.0.0.1:%d\n", i+1, r.Port)
	}
	text = regexp.MustCompile(`(?m)^    server-template .*\n`).ReplaceAllString(text, servers.String())
	file := harness.File(t, "haproxy.cfg", text)
	var log harness.Buffer
	cmd := exec.Command("haproxy", "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	harness.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of HAProxy:\n%s", tail(log.String()))
		}
	})
	harness.Must(t, harness.Eventually(patience, func() error {
		if status, body := harness.Ask("GET", s.url+"/ready", ""); status != http.StatusOK {
			return fmt.Errorf("HAProxy: /ready is %d %s", status, body)
		}
		return nil
	}))
}

// settle waits until all replicas have found the primary and writes go on.
func (s *service) settle(t *testing.T, l *ledger) {
	t.Helper()
	for _, r := range s.replicas {
		r.Await(t, "/ready", http.StatusOK)
	}
	l.awaitMore(t, 20)
}

// probeDeadline is after how long an unanswered probe counts as a failure.
const probeDeadline = 2 * time.Second

// watch asks every replica for /health, as the probe of its container does, until the returned function is called. That
// one fails the test if an answer was not 200 or came too late, and returns the time of the slowest.
func (s *service) watch(t *testing.T) (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	slowest := make([]time.Duration, len(s.replicas))
	for i, r := range s.replicas {
		all.Go(func() {
			for ; ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
				began := time.Now()
				status, body := r.Get("/health")
				took := time.Since(began)
				if slowest[i] = max(slowest[i], took); status != http.StatusOK || took > probeDeadline {
					t.Errorf("/health of replica %d is %d after %s: %s", i+1, status, took, body)
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return func() time.Duration { cancel(); all.Wait(); return slices.Max(slowest) }
}

// names is how often each name stands in the database, by an export of all accounts.
func names(t *testing.T, from *harness.Process) (there map[string]int) {
	t.Helper()
	harness.Must(t, harness.Eventually(patience, func() (err error) {
		there, err = export(from.URL)
		return err
	}))
	return there
}

func export(url string) (there map[string]int, err error) {
	resp, err := http.Get(url + "/accounts:export")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	there = map[string]int{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var account struct{ Name string }
		if err := json.Unmarshal(lines.Bytes(), &account); err != nil {
			return nil, err
		}
		there[account.Name]++
	}
	if lines.Err() == nil && resp.Trailer.Get("Content-Digest") == "" {
		return nil, errors.New("the export was cut")
	}
	return there, lines.Err()
}
