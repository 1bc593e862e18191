package checks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	health "github.com/hellofresh/health-go/v5"
	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

var me = checks.Component{Name: "accountservice", Version: "test"}

// check is a Check with the service's defaults.
func check(name string, c checks.Consequence, run func(context.Context) error) checks.Check {
	return checks.Check{Name: name, OnFailure: c, Run: run, Interval: 2 * time.Second, Timeout: time.Second,
		FailAfter: 2, PassAfter: 1, StaleAfter: 15 * time.Second}
}

// switchable is a check's Run whose error can be set while it is running.
type switchable struct{ err atomic.Pointer[error] }

func (s *switchable) set(err error) { s.err.Store(&err) }
func (s *switchable) run(context.Context) error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// start runs the checks until the test ends.
func start(t *testing.T, log *slog.Logger, list ...checks.Check) *checks.Runner {
	t.Helper()
	r, err := checks.New(me, log, list...)
	harness.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		<-done
		time.Sleep(time.Minute) // of the bubble: runs that hang end
	})
	return r
}

// pass lets fake time go by, and waits until all that is due is done.
func pass(d time.Duration) {
	time.Sleep(d) // of a synctest bubble
	synctest.Wait()
}

func expect(t *testing.T, r *checks.Runner, healthStatus, readyStatus int, words ...string) {
	t.Helper()
	s := r.Snapshot()
	health := s.AnswerHealth(checks.JSON, false)
	ready, err := s.AnswerReady(checks.JSON, false, nil)
	if code(health) != healthStatus || code(ready) != readyStatus || err != nil || !bytes.Equal(health.Body, ready.Body) {
		t.Errorf("/health %d, /ready %d, %v; want %d, %d and one body: %s%s", code(health), code(ready), err, healthStatus, readyStatus, health.Body, ready.Body)
	}
	if s.Healthy != (healthStatus == 200) || s.Ready != (readyStatus == 200) {
		t.Errorf("healthy %v, ready %v; want %d, %d", s.Healthy, s.Ready, healthStatus, readyStatus)
	}
	for _, w := range words {
		if !bytes.Contains(health.Body, []byte(w)) {
			t.Errorf("%s lacks %q", health.Body, w)
		}
	}
}

// code is the status of an answer in HTTP.
func code(a checks.Answer) int {
	if a.OK {
		return 200
	}
	return 503
}

// body is the JSON of /health.
func body(r *checks.Runner) string {
	return string(r.Snapshot().AnswerHealth(checks.JSON, false).Body)
}

// one answers /health/checks/{name}.
func one(t *testing.T, r *checks.Runner, form checks.Form, name string) checks.Answer {
	t.Helper()
	answer, err := r.Snapshot().AnswerCheck(form, name)
	harness.Must(t, err)
	return answer
}

func TestHungCheckCostsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int32
		hang := func(context.Context) error { runs.Add(1); <-release; return nil }
		reg := prometheus.NewRegistry()
		r := start(t, slog.New(slog.DiscardHandler), check("a", checks.Restart, hang))
		r.Register(reg)
		pass(time.Millisecond)
		before := runtime.NumGoroutine()
		pass(2 * time.Minute)
		for range 2000 {
			r.Snapshot()
		}
		if after := runtime.NumGoroutine(); after > before+1 {
			t.Errorf("%d goroutines after 2 minutes, %d before", after, before)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs at once", n)
		}
		expect(t, r, 503, 503)
		if body := body(r); !regexp.MustCompile(`hung: no answer for (1m5|2m)`).MatchString(body) {
			t.Errorf("%s does not tell its age", body)
		}
		got := scrape(t, reg) // it is one event, however often it is reported
		if got["accountservice_check_duration_seconds a"] != 1 || got["accountservice_check_consecutive_failures a"] < 40 {
			t.Errorf("got %v; want 1 run, and a failure each interval", got)
		}
		close(release)
		pass(time.Millisecond)
		expect(t, r, 503, 503) // the late answer is no pass
		pass(2200 * time.Millisecond)
		expect(t, r, 200, 200)
	})
}

func TestAnswerDecodesAsHealthGosOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		sick.set(errors.New("ill"))
		r := start(t, slog.New(slog.DiscardHandler), check("a", checks.Degrade, sick.run))
		pass(time.Millisecond)
		own := read[health.Check](t, []byte(body(r)))
		if own.Status != health.StatusPartiallyAvailable || own.Failures["a"] != "ill" || own.Component.Name != me.Name ||
			own.Component.Version != me.Version || time.Since(own.Timestamp) > time.Second {
			t.Errorf("decoded %+v", own)
		}
		alone := read[map[string]any](t, one(t, r, checks.JSON, "a").Body)
		for _, field := range []string{"status", "on_failure", "latency_ms", "consecutive_failures", "since", "interval", "timeout", "error", "last_failure", "changes"} {
			if _, ok := alone[field]; !ok {
				t.Errorf("check lacks %s: %v", field, alone)
			}
		}
	})
}

func TestChangesAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var sick switchable
		start(t, slog.New(slog.NewTextHandler(&out, nil)), check("a", checks.Restart, sick.run))
		pass(time.Minute)
		sick.set(errors.New("the disk is gone"))
		pass(time.Minute)
		sick.set(nil)
		pass(time.Minute)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1], "the disk is gone") || !strings.Contains(lines[1], "failures=2") || !strings.Contains(lines[2], "failed_for=") {
			t.Errorf("log:\n%s\nwant starting to ok, ok to failing with the reason, and back with the time", out.String())
		}
	})
}

func TestNamesOfChecksDiffer(t *testing.T) {
	run := (&switchable{}).run
	for _, names := range [][]string{{""}, {"drain"}, {"maintenance"}, {"a", "a"}} {
		var list []checks.Check
		for _, name := range names {
			list = append(list, check(name, checks.Restart, run))
		}
		if _, err := checks.New(me, slog.New(slog.DiscardHandler), list...); err == nil {
			t.Errorf("%q: accepted", names)
		}
	}
}
