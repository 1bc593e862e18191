package handlers_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	health "github.com/hellofresh/health-go/v5"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/tests/harness"
)

// hungHealth runs a check that hangs until the test ends and ignores its context, as a blocked system call does.
func hungHealth(tb testing.TB) *checks.Runner {
	tb.Helper()
	release := make(chan struct{})
	tb.Cleanup(func() { close(release) })
	stuck := check("stuck", checks.Restart, func(context.Context) error { <-release; return nil })
	stuck.Interval, stuck.Timeout = 100*time.Millisecond, 50*time.Millisecond
	return runChecks(tb, hung, stuck)
}

// hung reports whether one check is known to hang.
func hung(all []checks.CheckHistory) bool {
	return slices.ContainsFunc(all, func(c checks.CheckHistory) bool { return strings.Contains(c.Error, "hung") })
}

// burst asks handler's /health total times, 50 at once over real connections,
// and returns the sorted times and the growth of goroutines when all is over.
func burst(tb testing.TB, handler http.Handler, total int) (times []time.Duration, grown int) {
	tb.Helper()
	before := runtime.NumGoroutine()
	server := httptest.NewServer(handler)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range total / 50 {
				begin := time.Now()
				resp, err := client.Get(server.URL + "/health")
				if err != nil {
					tb.Errorf("GET: %v", err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				times = append(times, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	server.Close()
	harness.Until(5*time.Second, func() bool {
		grown = runtime.NumGoroutine() - before
		return grown <= 0
	})
	slices.Sort(times)
	return times, grown
}

func ownHandler(h handlers.Health) http.Handler {
	opts := overNothing()
	opts.Live.SetHealth(h)
	return handlers.New(opts)
}

func TestRequestsBesideAHungCheckCostNoGoroutine(t *testing.T) {
	times, grown := burst(t, ownHandler(hungHealth(t)), 2000)
	if len(times) != 2000 || grown > 0 {
		t.Errorf("%d answers, %d goroutines more; want 2000 and none", len(times), grown)
	}
	t.Logf("p50 %s, p99 %s", times[len(times)/2], times[len(times)*99/100])
}

// BenchmarkHealthBesideAHungCheck asks /health 2,000 times, 50 at once, while one check hangs.
func BenchmarkHealthBesideAHungCheck(b *testing.B) {
	handler := ownHandler(hungHealth(b))
	for b.Loop() {
		times, grown := burst(b, handler, 2000)
		report(b, "p99-ms", times[len(times)*99/100], grown)
	}
}

func report(b *testing.B, name string, t time.Duration, grown int) {
	b.ReportMetric(float64(t.Microseconds())/1000, name)
	b.ReportMetric(float64(grown), "goroutines-left")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFiftiethOfFiftyRequests asks 50 times at once, over the same three checks in the same run: our handler and
// health-go's. Two are healthy, one hangs beyond its timeout of 1 s. health-go's takes most of a minute.
func BenchmarkFiftiethOfFiftyRequests(b *testing.B) {
	release := make(chan struct{})
	b.Cleanup(func() { close(release) })
	runs := map[string]func(context.Context) error{"first": passes, "second": passes, "stuck": func(context.Context) error { <-release; return nil }}
	b.Run("ours", func(b *testing.B) {
		var list []checks.Check
		for name, run := range runs {
			c := check(name, checks.Restart, run)
			c.Interval, c.Timeout = 2*time.Second, time.Second
			list = append(list, c)
		}
		handler := ownHandler(runChecks(b, hung, list...))
		for b.Loop() {
			times, grown := burst(b, handler, 50)
			report(b, "50th-ms", times[49], grown)
		}
	})
	b.Run("health-go", func(b *testing.B) {
		h, err := health.New()
		harness.Must(b, err)
		for name, run := range runs {
			harness.Must(b, h.Register(health.Config{Name: name, Timeout: time.Second, Check: run}))
		}
		for b.Loop() {
			times, grown := burst(b, h.Handler(), 50)
			report(b, "50th-ms", times[49], grown)
		}
	})
}
