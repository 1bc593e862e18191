// Package soak shows that the service needs no more after an hour than after a
// minute. SOAK=1h runs it; it says nothing of speed, so that it can run beside
// other loads.
package soak

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	workers = 8
	rate    = 200 // requests a second, of all workers
)

// listenSilent is a server that accepts and never says a word.
func listenSilent(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, conn) // until the other side gives up
				conn.Close()
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// established lists this machine's open connections to addr, which is of IPv4, as
// the kernel shows them.
func established(t *testing.T, addr netip.AddrPort) (lines []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ip := addr.Addr().As4()
	remote := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), addr.Port())
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == remote && f[3] == "01" {
			lines = append(lines, line)
		}
	}
	return lines
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
// the last one left: it tells what is really kept, which the heap does not. Of
// the memory that is resident, pages of the mapped database come and go as the
// kernel likes: only what the rest grows by is ours.
var watched = []string{"go_goroutines", "process_open_fds", anonymous, "go_memstats_next_gc_bytes"}

const anonymous, resident = "RssAnon", "process_resident_memory_bytes"

// sample reads them, and what is shown beside them.
func sample(t *testing.T, s service) map[string]float64 {
	t.Helper()
	text := metrics(t, s.admin)
	values := make(map[string]float64)
	for _, name := range append(watched, resident) {
		if name != anonymous {
			values[name] = value(t, text, name)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	kib := regexp.MustCompile(anonymous + `:\s+(\d+) kB`).FindSubmatch(status)
	if kib == nil {
		t.Fatalf("no %s in %s", anonymous, status)
	}
	n, _ := strconv.Atoi(string(kib[1]))
	values[anonymous] = float64(n) * 1024
	return values
}

func metrics(t *testing.T, admin string) string {
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
	return string(text)
}

// value is that of one metric, with its labels.
func value(t *testing.T, text, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("/metrics lacks %s", name)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
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
	s := start(t, fmt.Sprintf("http://%s/health", hung), flapping(t).URL)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	var got map[int]int
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		got = load(ctx, t, s.url)
	}()
	defer func() { cancel(); <-loaded }() // also when this test gives up
	var samples []map[string]float64
	var most []string // connections to the hung server at once
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		if i%10 == 0 {
			samples = append(samples, sample(t, s))
		}
		if now := established(t, hung); len(now) > len(most) {
			most = now
		}
		<-tick.C
	}
	<-loaded
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
	for _, name := range append(watched, resident) {
		first, last := median(samples[fifth:2*fifth], name), median(samples[4*fifth:], name)
		t.Logf("%-30s %12.0f %12.0f %+6.1f %%", name, first, last, 100*(last/first-1))
		whole := first
		if name == anonymous {
			whole = median(samples[fifth:2*fifth], resident)
		}
		if last > first+whole*0.05 && name != resident {
			t.Errorf("%s grew from %.0f to %.0f, more than 5 %% of %.0f", name, first, last, whole)
		}
	}
	if len(most) != 1 {
		t.Errorf("the hung server saw %d connections at once, want 1:\n%s", len(most), strings.Join(most, ""))
	}
	text := metrics(t, s.admin)
	if value(t, text, `accountservice_check_changes_total{check="hung",to="failing"}`) == 0 || value(t, text, `accountservice_check_changes_total{check="hung",to="ok"}`) > 0 {
		t.Error("the hung dependency was not seen to fail all the time")
	}
	for _, to := range []string{"failing", "ok"} {
		if n := value(t, text, fmt.Sprintf(`accountservice_check_changes_total{check="flaps",to=%q}`, to)); n < 2 {
			t.Errorf("the flapping dependency turned %s %.0f times: it was not flapping", to, n)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the service ended: %v", err)
	}
}
