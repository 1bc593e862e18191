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
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"accountservice/internal/checks"
	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestHealthComesInTheFormThatIsLikedBest(t *testing.T) {
	s := serve(t, nil)
	for accept, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/*": "application/json", "text/html": "application/json",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "application/json",
		"application/health+json":                        "application/health+json",
		"application/health+json, */*;q=0.1":             "application/health+json",
		"application/json, application/health+json":      "application/json",
		"application/health+json;q=0.5,application/json": "application/json",
		"text/plain": "text/plain; charset=utf-8", "text/*": "text/plain; charset=utf-8",
		"TEXT/PLAIN;q=0.2, application/json;q=0.1": "text/plain; charset=utf-8",
		"text/plain;q=0":   "application/json",
		"*/*;q=0":          "application/json",
		"text/plain;q=NaN": "application/json", "text/plain;q=x": "application/json",
		"application/health+json;q=0, */*": "application/json", "*/*;q=0, text/plain": "text/plain; charset=utf-8",
		"nonsense": "application/json",
	} {
		for _, path := range []string{"/health", "/ready", "/health/checks/bolt", "/health/checks/users"} {
			get, head := s.do(t, "GET", path, "", "Accept", accept), s.do(t, "HEAD", path, "", "Accept", accept)
			for _, r := range []reply{get, head} {
				if r.Header.Get("Content-Type") != want || r.Header.Get("Vary") != "Accept" || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s %s, Accept %q: %v, want %s", r.Request.Method, path, accept, r.Header, want)
				}
			}
			if body := s.afterHeader(t, "HEAD", path, "Accept", accept); body != "" || head.StatusCode != get.StatusCode || head.ContentLength != int64(len(get.body)) {
				t.Errorf("HEAD %s = %d with %d of %d bytes and %q", path, head.StatusCode, head.ContentLength, len(get.body), body)
			}
			marks := map[string]string{"application/json": `"on_failure"`, "application/health+json": `"componentType"`}
			if mark := marks[want]; !strings.Contains(get.body, mark) || mark == "" && strings.HasPrefix(get.body, "{") {
				t.Errorf("%s, Accept %q: %s is not %s", path, accept, get.body, want)
			}
		}
	}
}

// serve's users fails and is degrade.
func TestQueriesOfHealthChangeTheVerdict(t *testing.T) {
	s := serve(t, nil)
	for target, want := range map[string]int{
		"/health": 200, "/ready": 200,
		"/ready?strict&exclude=users": 200, "/ready?strict&exclude=bolt": 503, "/ready?exclude=bolt,users": 200,
		"/ready?strict&exclude=bolt&exclude=users": 200, "/ready?exclude=": 200, "/ready?exclude=maintenance": 200,
		"/ready?exclude=nobody": 422, "/ready?exclude=users,nobody": 422, "/ready?exclude=Users": 422,
		"/ready?exclude=users;strict": 400, "/ready?exclude=%zz": 400,
		// a probe is never told 4xx
		"/health?exclude=nobody": 200, "/health?strct": 200, "/health?%zz": 200, "/health?a;b": 200, "/health?" + strings.Repeat("a=b&", 2000): 200,
		"/ready?cache=buster": 200, "/health/checks/bolt?strict": 200, "/health/checks/bolt?%zz": 200,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := s.do(t, method, target, "")
			if r.StatusCode != want || want == 503 != (r.Header.Get("Retry-After") == "1") {
				t.Errorf("%s %.60s = %d %v, want %d", method, target, r.StatusCode, r.Header, want)
			}
			if want/100 == 4 {
				if p := r.isProblem(t, want); want == 422 && method == "GET" && (len(p.Errors) != 1 || p.Errors[0].Parameter != "exclude" || strings.Contains(r.body, "nobody")) {
					t.Errorf("%s says %s", target, r.body)
				}
			}
		}
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := over(storetest.Faulty{Store: store.Unavailable("none"), OnGet: storetest.Panic})
	opts.Live.SetHealth(runner(t, passes))
	opts.Metrics = handlers.NewMetrics(reg)
	s := serveHandler(t, handlers.New(opts))
	for _, target := range []string{"GET /health", "GET /health?strict", "GET /ready", "HEAD /ready", "GET /accounts/1", "GET /accounts/2",
		"GET /accounts", "GET /nothing/1", "GET /nothing/2", "BREW /health", "POST /health", "GET /health/checks/bolt"} {
		method, path, _ := strings.Cut(target, " ")
		s.do(t, method, path, "")
	}
	page := ask(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`requests_refused_total{place="list"} 0`,
		`requests_waiting{place="request"} 0`,
		`http_requests_total{code="200",method="GET",route="/health"} 1`,
		`http_requests_total{code="503",method="GET",route="/health"} 1`,
		`http_requests_total{code="200",method="HEAD",route="/ready"} 1`,
		`http_requests_total{code="500",method="GET",route="/accounts/:id"} 2`,
		`http_requests_total{code="404",method="GET",route="unmatched"} 2`,
		`http_requests_total{code="405",method="other",route="unmatched"} 1`,
		`http_requests_total{code="405",method="POST",route="unmatched"} 1`,
		`http_requests_total{code="200",method="GET",route="/health/checks/:name"} 1`,
		`http_request_duration_seconds_count{method="GET",route="/health"} 2`,
		`http_request_duration_seconds_count{method="GET",route="/accounts/:id"} 2`,
		`http_request_duration_seconds_count{method="GET",route="unmatched"} 2`,
	} {
		if !strings.Contains(page.Body.String(), "accountservice_"+want+"\n") {
			t.Errorf("no %s in\n%s", want, page.Body)
		}
	}
}

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
