package checks

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
)

// reading is a body as its readers take it.
type reading struct {
	Status   health.Status
	Ready    bool
	Failures map[string]string
	Checks   map[string]struct {
		Status   Status
		Error    string
		Failures int `json:"consecutive_failures"`
	}
}

func read(t *testing.T, body []byte) reading {
	t.Helper()
	var r reading
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestHealthWaitsForEveryCheckThatMattersToAnswer(t *testing.T) {
	for _, c := range []struct {
		on            Consequence
		err           error
		health, ready int // once it has answered
	}{
		{Restart, nil, 200, 200},
		{Unroute, nil, 200, 200},
		{Restart, errors.New("ill"), 503, 503},
		{Unroute, errors.New("ill"), 200, 503},
	} {
		t.Run(string(c.on), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := func(context.Context) error { time.Sleep(500 * time.Millisecond); return c.err }
				r := start(t, slog.New(slog.DiscardHandler), check("slow", c.on, slow), check("own", Restart, (&switchable{}).run))
				pass(time.Millisecond)
				expect(t, r, 503, 503, string(health.StatusUnavailable), "starting: no result yet", `"ready":false`)
				pass(400 * time.Millisecond)
				expect(t, r, 503, 503)
				if r.WasReady() {
					t.Errorf("it was ready before every check had answered")
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

func TestDelayedCheckDoesNotFailUntilItsFirstAnswerIsDue(t *testing.T) {
	for name, c := range map[string]struct {
		err error
		ill string
	}{"well": {nil, ""}, "ill": {errors.New("ill"), "ill"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				late := check("late", Degrade, func(context.Context) error { return c.err })
				late.Delay = time.Hour
				r := start(t, slog.New(slog.DiscardHandler), late, check("own", Restart, (&switchable{}).run))
				pass(time.Hour - time.Minute)
				got := read(t, r.Report().Body)
				if got.Status != health.StatusOK || got.Checks["late"].Status != Starting || r.Report().Checks["late"].Status != 200 {
					t.Errorf("before: %s", r.Report().Body)
				}
				pass(2 * time.Minute)
				if got := read(t, r.Report().Body); got.Failures["late"] != c.ill || got.Checks["late"].Status == Starting {
					t.Errorf("after: %s", r.Report().Body)
				}
			})
		})
	}
}

func TestDelayedCheckThatNeverAnswersFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := check("late", Degrade, (&switchable{}).run)
		late.Delay = time.Hour
		r := byHand(t, late) // its prober never runs
		pass(time.Hour + late.Timeout + 2*time.Second)
		r.publish()
		if got := read(t, r.Report().Body); got.Failures["late"] != "starting: no result yet" {
			t.Errorf("got %s", r.Report().Body)
		}
	})
	restart := check("a", Restart, (&switchable{}).run)
	restart.Delay = time.Second
	if _, err := New(me, slog.New(slog.DiscardHandler), restart); err == nil {
		t.Errorf("a check that restarts may be delayed")
	}
}

// writer is an io.Writer that is a function.
type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }

func TestRunReturnsWhenTheLastProberHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.NewTextHandler(writer(func() { time.Sleep(time.Second) }), nil)) // holds the prober up
		r, err := New(me, log, check("a", Restart, (&switchable{}).run))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		begin, ended := time.Now(), make(chan time.Duration, 1)
		go func() { r.Run(ctx); ended <- time.Since(begin) }()
		pass(500 * time.Millisecond)
		cancel()
		if took := <-ended; took != time.Second {
			t.Errorf("Run ended after %s, its prober was at work until 1s", took)
		}
		pass(time.Minute) // whatever it left behind ends
	})
}

func TestAnAnswerStandsForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := byHand(t, check("a", Restart, (&switchable{}).run))
		r.probers[0].probe(t.Context(), nil)
		r.publish()
		pass(5 * time.Second)
		expect(t, r, 200, 200, `"ready":true`)
		pass(100 * time.Millisecond)
		expect(t, r, 503, 503, `"stale":"no health answer was made for 5.1s"`, `"ready":false`)
	})
}

// The publisher can go on before the probers do.
func TestWhatWasKnownBeforeTheProcessStoodStillIsNotPublishedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seldom := check("seldom", Restart, (&switchable{}).run)
		seldom.Interval, seldom.StaleAfter = time.Hour, 3*time.Hour
		r := byHand(t, check("often", Restart, (&switchable{}).run), seldom, check("minor", Degrade, (&switchable{}).run))
		for _, p := range r.probers {
			p.probe(t.Context(), nil)
		}
		r.publish()
		expect(t, r, 200, 200)
		pass(8 * time.Second)
		r.publish()
		expect(t, r, 503, 503, "stale: this process stood still")
		if got := read(t, r.Report().Body); len(got.Failures) != 1 || got.Failures["often"] == "" {
			t.Errorf("failures %v, want that of the check that was due alone", got.Failures)
		}
		pass(time.Second)
		r.publish()
		expect(t, r, 503, 503)
		r.probers[0].probe(t.Context(), nil)
		r.publish()
		expect(t, r, 200, 200)
	})
}

func TestDrainHasPublishedWhenItReturns(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "beside others that publish": 2} {
		t.Run(name, func(t *testing.T) {
			for range 200 {
				r := byHand(t, check("a", Restart, (&switchable{}).run))
				r.probers[0].probe(t.Context(), nil)
				r.publish()
				expect(t, r, 200, 200)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				for range others {
					wg.Go(func() {
						for ctx.Err() == nil {
							r.publish()
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

// Readers compare what stands in one body: it must be of one moment, while all
// that it tells of changes.
func TestABodyNeverContradictsItself(t *testing.T) {
	consequences := map[string]Consequence{"live": Restart, "route": Unroute, "extra": Degrade}
	var list []Check
	for name, on := range consequences {
		c := check(name, on, (&switchable{}).run)
		c.FailAfter = 1
		list = append(list, c)
	}
	r := byHand(t, list...)
	for _, p := range r.probers {
		p.record(nil, 0)
	}
	r.publish()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			for j, p := range r.probers {
				if i>>j&1 == 1 {
					p.record(errors.New("ill"), 0)
				} else {
					p.record(nil, 0)
				}
			}
			r.draining.Store(i>>len(r.probers)&1 == 1)
		}
	})
	for range 3000 {
		r.publish()
		report := r.Report()
		got := read(t, report.Body)
		ready, status := true, health.StatusOK
		for name, failure := range got.Failures {
			if on := consequences[name]; on == Restart {
				ready, status = false, health.StatusUnavailable
			} else {
				ready = ready && on == Degrade // the drain's is ""
				if status == health.StatusOK {
					status = health.StatusPartiallyAvailable
				}
			}
			if name != drainName && got.Checks[name].Error != failure {
				t.Errorf("failures say %q of %s, checks %q", failure, name, got.Checks[name].Error)
			}
		}
		if got.Ready != ready || got.Status != status || got.Ready != (report.ReadyStatus == 200) || (status == health.StatusUnavailable) != (report.HealthStatus == 503) {
			t.Errorf("/health %d, /ready %d; want ready %v and %s by the failures of %s", report.HealthStatus, report.ReadyStatus, ready, status, report.Body)
		}
		for name, c := range got.Checks {
			_, failing := got.Failures[name]
			if failing != (c.Status != OK) || failing != (c.Failures > 0) || failing != (report.Checks[name].Status == 503) {
				t.Errorf("%s is in failures: %v; its own answer is %d %s", name, failing, report.Checks[name].Status, report.Body)
			}
		}
		if t.Failed() {
			return
		}
	}
}
