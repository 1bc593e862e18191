// Package soak shows that the service needs no more after an hour than after a
// minute. SOAK=1h runs it; it says nothing of speed, so that it can run beside
// other loads.
package soak

import (
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
	"testing"
	"time"

	"accountservice/tests/harness"
)

const (
	workers = 8
	rate    = 200 // requests a second, of all workers
)

// listenSilent is a server that accepts and never says a word.
func listenSilent(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
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
	return listener.Addr().String()
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

// start builds the service and runs it with both dependencies until it is ready. It
// returns where operators are served, too.
func start(t *testing.T, hung, flaps string) (s *harness.Process, admin string) {
	t.Helper()
	dir := t.TempDir()
	harness.Must(t, harness.Build(dir))
	s = harness.Start(t, exec.Command(filepath.Join(dir, "accountservice")), filepath.Join(dir, "accounts.db"), "ACCOUNTSERVICE_LOG_FORMAT=json",
		"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_HUNG_URL="+hung, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_FLAPS_URL="+flaps)
	s.Await(t, "/ready", 200)
	return s, s.Admin(t)
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
func sample(t *testing.T, s *harness.Process, admin string) map[string]float64 {
	t.Helper()
	text := metrics(t, admin)
	values := make(map[string]float64)
	for _, name := range append(watched, resident) {
		if name != anonymous {
			values[name] = value(t, text, name)
		}
	}
	values[anonymous] = float64(harness.Memory(s.Cmd.Process.Pid, anonymous))
	if values[anonymous] == 0 {
		t.Fatalf("no %s could be read", anonymous)
	}
	return values
}

func metrics(t *testing.T, admin string) string {
	t.Helper()
	status, text := harness.Ask("GET", admin+"/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("/metrics = %d %s", status, text)
	}
	return text
}

// value is that of one metric, with its labels.
func value(t *testing.T, text, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("/metrics lacks %s", name)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	harness.Must(t, err)
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
	s, admin := start(t, fmt.Sprintf("http://%s/health", hung), flapping(t).URL)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	var got map[int]int
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		got = load(ctx, t, s.URL)
	}()
	defer func() { cancel(); <-loaded }() // also when this test gives up
	var samples []map[string]float64
	var most []string // connections to the hung server at once
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		if i%10 == 0 {
			samples = append(samples, sample(t, s, admin))
		}
		if now := harness.Established(t, hung); len(now) > len(most) {
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
	text := metrics(t, admin)
	if value(t, text, `accountservice_check_changes_total{check="hung",to="failing"}`) == 0 || value(t, text, `accountservice_check_changes_total{check="hung",to="ok"}`) > 0 {
		t.Error("the hung dependency was not seen to fail all the time")
	}
	for _, to := range []string{"failing", "ok"} {
		if n := value(t, text, fmt.Sprintf(`accountservice_check_changes_total{check="flaps",to=%q}`, to)); n < 2 {
			t.Errorf("the flapping dependency turned %s %.0f times: it was not flapping", to, n)
		}
	}
	s.Stop(t, 0)
}
