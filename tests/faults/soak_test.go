//go:build linux

package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// soakFor names the variable that says how long nothing must grow.
const soakFor = "SOAK"

// soakRate is the requests a second. It says nothing of speed, so that the test can run beside other load.
const soakRate = 200

// soak asks as a balancer, an orchestrator, people and clients would.
func (l *load) soak() {
	paths := []string{"/health", "/ready", "/health", "/accounts/10000", "/ready?exclude=hung", "/health/checks/flaps",
		"/accounts?limit=10", "/health", "/nothing", "/accounts/10001"}
	forms := []string{"*/*", "application/json", "application/json, application/health+json, text/plain"}
	const workers = 8 // each with a connection of its own
	for w := range workers {
		tick := time.NewTicker(workers * time.Second / soakRate)
		l.again(func(n int) {
			<-tick.C
			n += w
			method, path, body := http.MethodGet, paths[n%len(paths)], ""
			if n%50 == 0 {
				method, path, body = http.MethodPut, fmt.Sprint("/accounts/soak", n%1000), `{"name":"soak"}`
			}
			code, _, err := l.send(method, l.url+path, body, "Accept", forms[n%3])
			if err != nil {
				l.wrong("%s %s: %v", method, path, err)
			}
			l.did(fmt.Sprint(code))
		})
	}
}

// watched is what must stay flat. The next collection comes at twice of what the last one left: it tells what is really
// kept, which the heap does not. Of the memory that is resident, pages of the mapped database come and go as the kernel
// likes: only what the rest grows by is ours.
var watched = []string{"go_goroutines", "process_open_fds", anonymous, "go_memstats_next_gc_bytes"}

const anonymous, resident = "RssAnon", "process_resident_memory_bytes"

// metrics are what the service tells operators, by name and labels.
func (s *service) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	status, text := harness.Ask("GET", s.Admin(t)+"/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("/metrics = %d %s", status, text)
	}
	values := map[string]float64{anonymous: float64(harness.Memory(s.Cmd.Process.Pid, anonymous))}
	for _, line := range regexp.MustCompile(`(?m)^([^#].*) (\S+)$`).FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(line[2], 64)
		harness.Must(t, err)
		values[line[1]] = n
	}
	for _, name := range append(watched, resident) {
		if values[name] == 0 {
			t.Fatalf("/metrics lacks %s", name)
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

// The medians of the second fifth of the time and of the last are compared: the first fifth is for warming up.
func TestNothingGrowsUnderLoadBesideSickDependencies(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv(soakFor))
	if err != nil || lasts < time.Minute {
		t.Skipf("needs %s=1h, or another duration from 1m on", soakFor)
	}
	hung, begin := harness.Serve(t, harness.Silent).String(), time.Now()
	flaps := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if int(time.Since(begin).Seconds()/5)%2 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer flaps.Close()
	svc := startService(t, t.TempDir()+"/accounts.db", nil, "ACCOUNTSERVICE_LOG_FORMAT=json",
		"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:0", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_HUNG_URL=http://"+hung+"/health",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_FLAPS_URL="+flaps.URL)
	svc.Await(t, "/ready", 200)
	l := newLoad(svc.URL)
	l.soak()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var samples []map[string]float64
	var most []string // connections to the hung server at once
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		if i%10 == 0 {
			samples = append(samples, svc.metrics(t))
		}
		if now := harness.Established(t, hung); len(now) > len(most) {
			most = now
		}
		<-tick.C
	}
	l.end()
	total := 0
	for _, n := range l.done {
		total += n
	}
	t.Logf("%d requests in %s: %v; %d samples", total, lasts, l.done, len(samples))
	if planned := int(lasts.Seconds()) * soakRate; total < planned/10 || l.done["200"] < total/2 {
		t.Errorf("this was no load: %d requests were planned", planned)
	}
	for _, wrong := range l.faults {
		t.Error(wrong)
	}
	wantFlat(t, samples)
	if len(most) != 1 {
		t.Errorf("the hung server saw %d connections at once, want 1:\n%s", len(most), strings.Join(most, ""))
	}
	changes := func(check, to string) float64 {
		return samples[len(samples)-1][fmt.Sprintf("accountservice_check_changes_total{check=%q,to=%q}", check, to)]
	}
	if changes("hung", "failing") == 0 || changes("hung", "ok") > 0 {
		t.Error("the hung dependency was not seen to fail all the time")
	}
	if failing, ok := changes("flaps", "failing"), changes("flaps", "ok"); min(failing, ok) < 2 {
		t.Errorf("the flapping dependency turned failing %.0f times and ok %.0f times: it was not flapping", failing, ok)
	}
	svc.Stop(t, 0)
}

func wantFlat(t *testing.T, samples []map[string]float64) {
	t.Helper()
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
}
