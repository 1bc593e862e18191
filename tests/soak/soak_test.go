// Package soak shows that the service needs no more after an hour than after a
// minute. SOAK=1h runs it; it says nothing of speed, so that it can run beside
// other loads.
package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	workers = 8
	rate    = 200 // requests a second, of all workers
)

// silent is a server that accepts and never says a word.
type silent struct {
	net.Listener
	open, most atomic.Int64
}

func listenSilent(t *testing.T) *silent {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silent{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n := s.open.Add(1); n > s.most.Load() {
				s.most.Store(n)
			}
			go func() {
				io.Copy(io.Discard, conn) // until the other side gives up
				conn.Close()
				s.open.Add(-1)
			}()
		}
	}()
	return s
}

// flapping is a server that is well for five seconds and ill for five.
func flapping(t *testing.T) *httptest.Server {
	begin := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if int(time.Since(begin).Seconds()/5)%2 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// service is the real binary under watch.
type service struct {
	cmd        *exec.Cmd
	url, admin string
}

// start builds the service and runs it with both dependencies until it is ready.
func start(t *testing.T, hung, flaps string) service {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/accountservice")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	s := service{url: fmt.Sprint("http://127.0.0.1:", port), cmd: exec.Command(filepath.Join(dir, "accountservice"))}
	s.cmd.Env = append(os.Environ(), "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port),
		"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0", "ACCOUNTSERVICE_STORE_BOLT_PATH="+filepath.Join(dir, "accounts.db"), "ACCOUNTSERVICE_LOG_FORMAT=json",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_HUNG_URL="+hung, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_FLAPS_URL="+flaps)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	admin := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if found := regexp.MustCompile(`"admin.addr":"([^"]+)"`).FindStringSubmatch(lines.Text()); found != nil {
				admin <- "http://" + found[1]
			}
		}
	}()
	select {
	case s.admin = <-admin:
	case <-time.After(20 * time.Second):
		t.Fatal("the log names no admin.addr")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get(s.url + "/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready within 20s")
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// load asks as a balancer, an orchestrator, people and clients would, until ctx
// ends, and returns how many answers came with which status.
func load(ctx context.Context, t *testing.T, url string) map[int]int {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	paths := []string{"/health", "/ready", "/health", "/accounts/10000", "/ready?exclude=hung", "/health/checks/flaps", "/accounts?limit=10",
		"/health", "/nothing", "/accounts/10001"}
	answers := make(map[int]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			tick := time.NewTicker(workers * time.Second / rate)
			defer tick.Stop()
			for i := n; ctx.Err() == nil; i++ {
				method, path, body := http.MethodGet, paths[i%len(paths)], ""
				if i%50 == 0 {
					method, path, body = http.MethodPut, fmt.Sprint("/accounts/soak", i%1000), `{"name":"soak"}`
				}
				req, err := http.NewRequest(method, url+path, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Accept", []string{"*/*", "application/json", "application/json, application/health+json, text/plain"}[i%3])
				resp, err := client.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				answers[resp.StatusCode]++
				mu.Unlock()
				<-tick.C
			}
		})
	}
	wg.Wait()
	return answers
}

// watched is what must stay flat. The next collection comes at twice of what
// the last one left: it tells what is really kept, which the heap does not.
var watched = []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "go_memstats_next_gc_bytes"}

// sample reads them.
func sample(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, name := range watched {
		found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("/metrics lacks %s", name)
		}
		if values[name], err = strconv.ParseFloat(string(found[1]), 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

func median(samples []map[string]float64, name string) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s[name])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// The medians of the second fifth of the time and of the last are compared: the
// first fifth is for warming up.
func TestNothingGrowsUnderLoadBesideSickDependencies(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil || lasts < time.Minute {
		t.Skip("needs SOAK=1h, or another duration from 1m on")
	}
	hung := listenSilent(t)
	s := start(t, "http://"+hung.Addr().String()+"/health", flapping(t).URL)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	answers := make(chan map[int]int, 1)
	go func() { answers <- load(ctx, t, s.url) }()
	var samples []map[string]float64
	for tick := time.NewTicker(time.Second); ctx.Err() == nil; <-tick.C {
		samples = append(samples, sample(t, s.admin))
	}
	got := <-answers
	total := 0
	for _, n := range got {
		total += n
	}
	t.Logf("%d requests in %s: %v; %d samples", total, lasts, got, len(samples))
	if planned := int(lasts.Seconds()) * rate; total < planned/10 || got[200] < total/2 {
		t.Errorf("this was no load: %d requests were planned", planned)
	}
	fifth := len(samples) / 5
	if fifth < 10 {
		t.Fatalf("%d samples are too few", len(samples))
	}
	for _, name := range watched {
		first, last := median(samples[fifth:2*fifth], name), median(samples[4*fifth:], name)
		t.Logf("%-30s %12.0f %12.0f %+6.1f %%", name, first, last, 100*(last/first-1))
		if last > first*1.05 {
			t.Errorf("%s grew from %.0f to %.0f, more than 5 %%", name, first, last)
		}
	}
	if n := hung.most.Load(); n != 1 {
		t.Errorf("the hung server saw %d connections at once, want 1", n)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the service ended: %v", err)
	}
}
