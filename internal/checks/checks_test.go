package checks

import (
	"bytes"
	"context"
	"encoding/json"
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
)

var me = Component{Name: "accountservice", Version: "test"}

// check is a Check with the service's defaults that fails as *err says.
func check(name string, c Consequence, run func(context.Context) error) Check {
	return Check{Name: name, OnFailure: c, Run: run, Interval: 2 * time.Second, Timeout: time.Second,
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
func start(t *testing.T, log *slog.Logger, checks ...Check) *Runner {
	t.Helper()
	r, err := New(me, log, checks...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		<-done
		time.Sleep(time.Minute) // of the bubble: runs left behind come to their end
	})
	return r
}

// pass lets fake time go by and everything due settle.
func pass(d time.Duration) {
	time.Sleep(d) // of a synctest bubble
	synctest.Wait()
}

func expect(t *testing.T, r *Runner, healthStatus, readyStatus int, words ...string) {
	t.Helper()
	report := r.Report()
	if report.HealthStatus != healthStatus || report.ReadyStatus != readyStatus {
		t.Errorf("/health %d, /ready %d; want %d, %d: %s", report.HealthStatus, report.ReadyStatus, healthStatus, readyStatus, report.Body)
	}
	for _, w := range words {
		if !strings.Contains(string(report.Body), w) {
			t.Errorf("%s lacks %q", report.Body, w)
		}
	}
}

func TestEachConsequenceGivesItsStatus(t *testing.T) {
	for _, c := range []struct {
		on            Consequence
		health, ready int
		status        health.Status
	}{
		{Restart, 503, 503, health.StatusUnavailable},
		{Unroute, 200, 503, health.StatusPartiallyAvailable},
		{Degrade, 200, 200, health.StatusPartiallyAvailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sick switchable
			r := start(t, slog.New(slog.DiscardHandler), check("a", c.on, sick.run), check("b", Restart, (&switchable{}).run))
			pass(time.Millisecond)
			expect(t, r, 200, 200, `"status":"OK"`)
			sick.set(errors.New("it is ill"))
			pass(2200 * time.Millisecond)
			expect(t, r, 200, 200) // one failure is below fail_after
			pass(2200 * time.Millisecond)
			expect(t, r, c.health, c.ready, "it is ill", string(c.status))
			sick.set(nil)
			pass(2200 * time.Millisecond)
			expect(t, r, 200, 200, `"status":"OK"`, `"ready":true`)
		})
	}
}

func TestHealthIsEarned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) error { time.Sleep(500 * time.Millisecond); return nil }
		r, err := New(me, slog.New(slog.DiscardHandler), check("a", Restart, slow))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, r, 503, 503, "starting")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		pass(400 * time.Millisecond)
		expect(t, r, 503, 503, "starting")
		pass(200 * time.Millisecond)
		expect(t, r, 200, 200)
		cancel()
		<-done
	})
}

func TestFirstFailureNeedsNoCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		sick.set(errors.New("ill from the start"))
		r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, sick.run))
		pass(time.Millisecond)
		expect(t, r, 503, 503, "ill from the start")
	})
}

func TestSlowDependencyDoesNotHoldUpTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r := start(t, slog.New(slog.DiscardHandler), check("slow", Degrade, hang), check("own", Restart, (&switchable{}).run))
		pass(time.Millisecond)
		expect(t, r, 200, 200, "no result yet")
		pass(1200 * time.Millisecond)
		expect(t, r, 200, 200, "no answer within 1s")
	})
}

func TestHungCheckCostsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int32
		hang := func(context.Context) error { runs.Add(1); <-release; return nil }
		r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, hang))
		pass(time.Millisecond)
		before := runtime.NumGoroutine()
		pass(2 * time.Minute)
		for range 2000 {
			r.Report()
		}
		if after := runtime.NumGoroutine(); after > before+1 {
			t.Errorf("%d goroutines after 2 minutes, %d before", after, before)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs at once", n)
		}
		expect(t, r, 503, 503)
		if body := r.Report().Body; !regexp.MustCompile(`hung: no answer for (1m5|2m)`).Match(body) {
			t.Errorf("%s does not tell its age", body)
		}
		close(release)
		pass(time.Millisecond)
		expect(t, r, 503, 503) // the late answer is no pass
		pass(2200 * time.Millisecond)
		expect(t, r, 200, 200)
	})
}

func TestLateSuccessIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := func(context.Context) error { time.Sleep(1050 * time.Millisecond); return nil }
		r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, late))
		pass(2 * time.Minute)
		expect(t, r, 503, 503, "no answer within 1s")
	})
}

func TestPanicIsAFailureWithItsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, func(context.Context) error { panic("boom") }))
		pass(time.Millisecond)
		expect(t, r, 503, 503, "the check panicked: boom")
	})
}

func TestPassAfterHoldsBackRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		sick.set(errors.New("ill"))
		c := check("a", Restart, sick.run)
		c.PassAfter = 3
		r := start(t, slog.New(slog.DiscardHandler), c)
		pass(time.Millisecond)
		sick.set(nil)
		pass(4400 * time.Millisecond) // two passes
		expect(t, r, 503, 503)
		pass(2200 * time.Millisecond)
		expect(t, r, 200, 200)
	})
}

func TestFirstPassesMustReachPassAfterToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := check("a", Restart, (&switchable{}).run)
		c.PassAfter = 2
		r := start(t, slog.New(slog.DiscardHandler), c)
		pass(time.Millisecond)
		expect(t, r, 503, 503, "starting")
		pass(2200 * time.Millisecond)
		expect(t, r, 200, 200)
	})
}

// A dead prober must not stay green: its last good result grows old.
func TestOldResultIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := check("a", Restart, (&switchable{}).run)
		r, err := New(me, slog.New(slog.DiscardHandler), c)
		if err != nil {
			t.Fatal(err)
		}
		r.probers[0].probe(t.Context(), nil) // once, and never again
		for range 14 {
			pass(publishEvery)
			r.publish()
			expect(t, r, 200, 200)
		}
		pass(2 * time.Second)
		r.publish()
		expect(t, r, 503, 503, "stale: no result for 16s")
		if body := string(r.Report().Checks["a"].Body); !strings.Contains(body, `"status":"failing"`) {
			t.Errorf("check says %s", body)
		}
	})
}

// As after a SIGSTOP and SIGCONT: nobody publishes, then somebody asks.
func TestOldAnswerIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(me, slog.New(slog.DiscardHandler), check("a", Restart, (&switchable{}).run))
		if err != nil {
			t.Fatal(err)
		}
		r.probers[0].probe(t.Context(), nil)
		r.publish()
		expect(t, r, 200, 200)
		pass(8 * time.Second)
		expect(t, r, 503, 503, "no health answer was made for 8s")
	})
}

func TestDrainingIsNotReadyAndStaysHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, (&switchable{}).run))
		pass(time.Millisecond)
		r.Drain()
		expect(t, r, 200, 503) // at once
		synctest.Wait()
		expect(t, r, 200, 503, "told to stop", `"ready":false`)
	})
}

func TestReportIsMadeAtLeastOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := check("a", Restart, (&switchable{}).run)
		c.Interval, c.StaleAfter = time.Hour, 24*time.Hour
		r := start(t, slog.New(slog.DiscardHandler), c)
		pass(10 * time.Minute)
		if age := time.Since(r.Report().At); age > time.Second {
			t.Errorf("report is %s old", age)
		}
		expect(t, r, 200, 200)
	})
}

func TestAnswerDecodesAsHealthGosOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		sick.set(errors.New("ill"))
		r := start(t, slog.New(slog.DiscardHandler), check("a", Degrade, sick.run))
		pass(time.Millisecond)
		var own health.Check
		if err := json.Unmarshal(r.Report().Body, &own); err != nil {
			t.Fatal(err)
		}
		if own.Status != health.StatusPartiallyAvailable || own.Failures["a"] != "ill" || own.Component.Name != me.Name ||
			own.Component.Version != me.Version || time.Since(own.Timestamp) > time.Second {
			t.Errorf("decoded %+v", own)
		}
		var one map[string]any
		if err := json.Unmarshal(r.Report().Checks["a"].Body, &one); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"status", "on_failure", "latency_ms", "consecutive_failures", "since", "interval", "timeout", "error"} {
			if _, ok := one[field]; !ok {
				t.Errorf("check lacks %s: %v", field, one)
			}
		}
	})
}

func TestChangesAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var sick switchable
		start(t, slog.New(slog.NewTextHandler(&out, nil)), check("a", Restart, sick.run))
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

func TestBadChecksAreRefused(t *testing.T) {
	run := (&switchable{}).run
	good := check("a", Restart, run)
	for name, spoil := range map[string]func(*Check){
		"no name":          func(c *Check) { c.Name = "" },
		"the drain's name": func(c *Check) { c.Name = "drain" },
		"nothing to run":   func(c *Check) { c.Run = nil },
		"no consequence":   func(c *Check) { c.OnFailure = "" },
		"no timeout":       func(c *Check) { c.Timeout = 0 },
		"timeout too long": func(c *Check) { c.Timeout = 3 * time.Second },
		"no threshold":     func(c *Check) { c.FailAfter = 0 },
		"stale too soon":   func(c *Check) { c.StaleAfter = time.Second },
	} {
		c := good
		spoil(&c)
		if _, err := New(me, slog.New(slog.DiscardHandler), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(me, slog.New(slog.DiscardHandler), good, good); err == nil {
		t.Errorf("two checks of one name: accepted")
	}
}

func TestDiskSaysHowMuchIsFree(t *testing.T) {
	if err := Disk(t.TempDir(), 1)(t.Context()); err != nil {
		t.Errorf("Disk: %v", err)
	}
	if err := Disk(t.TempDir(), 1<<60)(t.Context()); err == nil || !strings.Contains(err.Error(), "free, less than") {
		t.Errorf("Disk = %v, want the figures", err)
	}
	if err := Disk(t.TempDir()+"/gone", 1)(t.Context()); err == nil {
		t.Errorf("Disk of a missing folder says nothing")
	}
}
