package checks_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	health "github.com/hellofresh/health-go/v5"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// read returns a body as a client reads it.
func read[Document any](t *testing.T, body []byte) (d Document) {
	t.Helper()
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return d
}

func TestHealthWaitsForEveryCheckThatMattersToAnswer(t *testing.T) {
	for _, c := range []struct {
		on            checks.Consequence
		err           error
		waiting       int // before it has answered
		health, ready int // once it has
	}{
		{checks.Restart, nil, 503, 200, 200},
		{checks.Unroute, nil, 503, 200, 200},
		{checks.Restart, errors.New("ill"), 503, 503, 503},
		{checks.Unroute, errors.New("ill"), 503, 200, 503},
		{checks.Degrade, errors.New("ill"), 200, 200, 200}, // a slow dependency does not hold up the start
	} {
		t.Run(string(c.on), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := func(context.Context) error { time.Sleep(500 * time.Millisecond); return c.err }
				r := start(t, slog.New(slog.DiscardHandler), check("slow", c.on, slow), check("own", checks.Restart, (&switchable{}).run))
				pass(time.Millisecond)
				expect(t, r, c.waiting, c.waiting, "starting: no result yet")
				pass(400 * time.Millisecond)
				expect(t, r, c.waiting, c.waiting)
				if r.WasReady() != (c.waiting == 200) {
					t.Errorf("WasReady = %v before every check had answered", r.WasReady())
				}
				pass(200 * time.Millisecond)
				expect(t, r, c.health, c.ready)
				if ready := c.ready == 200; r.WasReady() != ready {
					t.Errorf("WasReady = %v, want %v", r.WasReady(), ready)
				}
			})
		})
	}
}

// Else a server that hangs would get every new container killed, and so would many passes that are wanted.
func TestHealthWaitsFiveSecondsForACheckThatUnroutes(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for words, c := range map[string]struct {
		run       func(context.Context) error
		passAfter int
	}{
		"starting: no result yet":          {hang, 1},
		"starting: 1 of 3 passes in a row": {(&switchable{}).run, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			users := check("users", checks.Unroute, c.run)
			users.Interval, users.Timeout, users.StaleAfter, users.PassAfter = time.Minute, 30*time.Second, time.Hour, c.passAfter
			r := start(t, slog.New(slog.DiscardHandler), users, check("own", checks.Restart, (&switchable{}).run))
			pass(4500 * time.Millisecond)
			expect(t, r, 503, 503, words)
			pass(time.Second)
			expect(t, r, 200, 503, words)
			if r.WasReady() {
				t.Error("it was ready before the check was decided")
			}
		})
	}
}

func TestRunReturnsWhenTheLastProberHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := hangingLog{make(chan struct{})} // holds the prober up
		time.AfterFunc(time.Second, func() { close(log.read) })
		r, err := checks.New(me, slog.New(log), check("a", checks.Restart, (&switchable{}).run))
		harness.Must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		begin, ended := time.Now(), make(chan time.Duration, 1)
		go func() { r.Run(ctx); ended <- time.Since(begin) }()
		pass(500 * time.Millisecond)
		cancel()
		if took := <-ended; took != time.Second {
			t.Errorf("Run ended after %s, its prober was at work until 1s", took)
		}
		pass(time.Minute) // what Run did not wait for ends
	})
}

func TestAnAnswerStandsForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := byHand(t, check("a", checks.Restart, (&switchable{}).run))
		r.ProbeAll(t.Context())
		pass(5 * time.Second)
		expect(t, r, 200, 200, `"ready":true`)
		pass(100 * time.Millisecond)
		expect(t, r, 503, 503, `"stale":"no health answer was made for 5.1s"`, `"ready":false`)
	})
}

// After a standstill the publisher can go on before the probers do.
func TestResultFromBeforeAStandstillIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seldom := check("seldom", checks.Restart, (&switchable{}).run)
		seldom.Interval, seldom.StaleAfter = time.Hour, 3*time.Hour
		r := byHand(t, check("often", checks.Restart, (&switchable{}).run), seldom, check("minor", checks.Degrade, (&switchable{}).run))
		r.ProbeAll(t.Context())
		expect(t, r, 200, 200)
		pass(8 * time.Second)
		r.Publish()
		expect(t, r, 503, 503, "stale: this process stood still")
		if got := read[checks.HealthDocument](t, []byte(body(r))); len(got.Failures) != 1 || got.Failures["often"] == "" {
			t.Errorf("failures %v, want that of the check that was due alone", got.Failures)
		}
		pass(time.Second)
		r.Publish()
		expect(t, r, 503, 503)
		r.Record(0, errors.New("one failure is not enough to turn it"))
		r.Publish()
		expect(t, r, 503, 503, "one failure")
		r.ProbeCheck(t.Context(), 0)
		r.Publish()
		expect(t, r, 200, 200)
	})
}

func TestVerdictAfterAStandstillWaitsForTheChecks(t *testing.T) {
	for name, c := range map[string]struct {
		recovers bool
		waits    time.Duration
	}{"which pass": {true, 600 * time.Millisecond}, "which do not answer": {false, time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := byHand(t, check("often", checks.Restart, (&switchable{}).run))
				r.ProbeAll(t.Context())
				begin := time.Now()
				if s := r.Settled(); !s.Healthy || time.Since(begin) != 0 {
					t.Errorf("healthy %v after %s, want the snapshot at once", s.Healthy, time.Since(begin))
				}
				pass(8 * time.Second)
				time.AfterFunc(300*time.Millisecond, r.Publish) // the publisher can go on before the probers do
				if c.recovers {
					time.AfterFunc(595*time.Millisecond, func() { r.ProbeAll(t.Context()) })
				}
				begin = time.Now()
				if s := r.Settled(); s.Healthy != c.recovers || time.Since(begin) != c.waits {
					t.Errorf("healthy %v after %s, want %+v", s.Healthy, time.Since(begin), c)
				}
			})
		})
	}
}

func TestDrainHasPublishedWhenItReturns(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "beside others that publish": 2} {
		t.Run(name, func(t *testing.T) {
			for range 200 {
				r := byHand(t, check("a", checks.Restart, (&switchable{}).run))
				r.ProbeAll(t.Context())
				expect(t, r, 200, 200)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for range others {
					wg.Go(func() {
						for ctx.Err() == nil {
							r.Publish()
						}
					})
				}
				r.Drain()
				for range 10 { // an older answer must not come after
					expect(t, r, 200, 503, "told to stop", `"ready":false`)
				}
				cancel()
				wg.Wait()
				expect(t, r, 200, 503)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// All parts of a body are of one moment, though everything it tells of changes meanwhile.
func TestABodyNeverContradictsItself(t *testing.T) {
	consequences := map[string]checks.Consequence{"live": checks.Restart, "route": checks.Unroute, "extra": checks.Degrade}
	var list []checks.Check
	for name, on := range consequences {
		c := check(name, on, (&switchable{}).run)
		c.FailAfter = 1
		list = append(list, c)
	}
	r := byHand(t, list...)
	for i := range list {
		r.Record(i, nil)
	}
	r.Publish()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			for j := range list {
				if i>>j&1 == 1 {
					r.Record(j, errors.New("ill"))
				} else {
					r.Record(j, nil)
				}
			}
			r.SetDraining(i>>len(list)&1 == 1)
		}
	})
	for range 3000 {
		r.Publish()
		report := r.Snapshot()
		text := report.AnswerHealth(checks.JSON, false).Body
		got := read[checks.HealthDocument](t, text)
		ready, status := true, health.StatusOK
		for name, failure := range got.Failures {
			if on := consequences[name]; on == checks.Restart {
				ready, status = false, health.StatusUnavailable
			} else {
				ready = ready && on == checks.Degrade // the drain's is ""
				if status == health.StatusOK {
					status = health.StatusPartiallyAvailable
				}
			}
			if name != "drain" && got.Checks[name].Error != failure {
				t.Errorf("failures say %q of %s, checks %q", failure, name, got.Checks[name].Error)
			}
		}
		if got.Ready != ready || got.Status != string(status) || got.Ready != report.Ready || (status == health.StatusUnavailable) == report.Healthy {
			t.Errorf("healthy %v, ready %v; want ready %v and %s by the failures of %s", report.Healthy, report.Ready, ready, status, text)
		}
		for name, c := range got.Checks {
			_, failing := got.Failures[name]
			alone, err := report.AnswerCheck(checks.JSON, name)
			if failing != (c.Status != checks.OK) || failing != (c.ConsecutiveFailures > 0) || failing != !alone.OK || err != nil {
				t.Errorf("%s is in failures: %v; its own answer is %d, %v: %s", name, failing, code(alone), err, text)
			}
		}
		if t.Failed() {
			return
		}
	}
}
