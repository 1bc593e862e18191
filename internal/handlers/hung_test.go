package handlers_test

import (
	"context"
	"io"
	"log/slog"
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
)

// hungHealth runs a check that hangs until the test ends and ignores its
// context, as a blocked system call does.
func hungHealth(tb testing.TB) *checks.Runner {
	tb.Helper()
	release := make(chan struct{})
	tb.Cleanup(func() { close(release) })
	return runUntilHung(tb, checks.Check{
		Name: "stuck", OnFailure: checks.Restart, Interval: 100 * time.Millisecond, Timeout: 50 * time.Millisecond,
		FailAfter: 1, PassAfter: 1, StaleAfter: time.Minute,
		Run: func(context.Context) error { <-release; return nil },
	})
}

// runUntilHung runs these checks until the test ends, and returns when the one
// that hangs is known to.
func runUntilHung(tb testing.TB, list ...checks.Check) *checks.Runner {
	tb.Helper()
	r, err := checks.New(checks.Component{Name: "accountservice"}, slog.New(slog.DiscardHandler), list...)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	tb.Cleanup(func() { cancel(); <-done })
	deadline := time.Now().Add(10 * time.Second)
	hung := func(c checks.CheckHistory) bool { return strings.Contains(c.Error, "hung") }
	for !slices.ContainsFunc(r.Snapshot().Checks, hung) {
		if time.Now().After(deadline) {
			tb.Fatalf("not hung: %+v", r.Snapshot())
		}
		time.Sleep(time.Millisecond)
	}
	return r
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
	deadline := time.Now().Add(5 * time.Second)
	for grown = runtime.NumGoroutine() - before; grown > 0 && time.Now().Before(deadline); grown = runtime.NumGoroutine() - before {
		time.Sleep(time.Millisecond)
	}
	slices.Sort(times)
	return times, grown
}

func ownHandler(h handlers.Health) http.Handler {
	live := &handlers.Live{}
	live.SetHealth(h)
	return handlers.New(handlers.Options{Live: live, MaxBody: 1 << 20, Log: slog.New(slog.DiscardHandler)})
}

func TestRequestsBesideAHungCheckCostNoGoroutine(t *testing.T) {
	times, grown := burst(t, ownHandler(hungHealth(t)), 2000)
	if len(times) != 2000 || grown > 0 {
		t.Errorf("%d answers, %d goroutines more; want 2000 and none", len(times), grown)
	}
	t.Logf("p50 %s, p99 %s", times[len(times)/2], times[len(times)*99/100])
}

// BenchmarkHealthBesideAHungCheck asks /health 2,000 times, 50 at once, while
// one check hangs.
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

// BenchmarkFiftiethOfFiftyRequests asks 50 times at once, over the same three
// checks in the same run: our handler and health-go's. Two are healthy, one
// hangs beyond its timeout of 1 s. health-go's takes most of a minute.
func BenchmarkFiftiethOfFiftyRequests(b *testing.B) {
	release := make(chan struct{})
	b.Cleanup(func() { close(release) })
	fine := func(context.Context) error { return nil }
	runs := map[string]func(context.Context) error{"first": fine, "second": fine, "stuck": func(context.Context) error { <-release; return nil }}
	b.Run("ours", func(b *testing.B) {
		var list []checks.Check
		for name, run := range runs {
			list = append(list, checks.Check{Name: name, OnFailure: checks.Restart, Run: run, Interval: 2 * time.Second, Timeout: time.Second,
				FailAfter: 1, PassAfter: 1, StaleAfter: time.Minute})
		}
		handler := ownHandler(runUntilHung(b, list...))
		for b.Loop() {
			times, grown := burst(b, handler, 50)
			report(b, "50th-ms", times[49], grown)
		}
	})
	b.Run("health-go", func(b *testing.B) {
		h, err := health.New()
		if err != nil {
			b.Fatal(err)
		}
		for name, run := range runs {
			if err := h.Register(health.Config{Name: name, Timeout: time.Second, Check: run}); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			times, grown := burst(b, h.Handler(), 50)
			report(b, "50th-ms", times[49], grown)
		}
	})
}
