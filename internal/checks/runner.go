package checks

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	health "github.com/hellofresh/health-go/v5"
)

const (
	// publishEvery is how long an unchanged answer stands.
	publishEvery = time.Second
	// publishStale is the age at which an answer no longer counts, because the
	// one that publishes is dead or the whole process was stopped.
	publishStale = 5 * time.Second

	drainName = "drain"
)

// Runner runs checks and publishes what they found.
type Runner struct {
	component Component
	probers   []*prober
	health    *health.Health
	draining  atomic.Bool
	wasReady  atomic.Bool
	report    atomic.Pointer[Report]
	dirty     chan struct{} // has room for one: publish soon

	publishing sync.Mutex
	round      round // being published
}

// round is what one answer is made of, so that no two parts of it differ.
type round struct {
	at       time.Time
	results  []Result // of the probers, in their order
	draining bool
}

// New returns a Runner of these checks, whose names differ. It runs nothing
// yet; until the first round its Report says starting.
func New(component Component, log *slog.Logger, checks ...Check) (*Runner, error) {
	r := &Runner{component: component, dirty: make(chan struct{}, 1)}
	var err error
	if r.health, err = health.New(health.WithComponent(health.Component(component))); err != nil {
		return nil, err
	}
	for i, c := range checks {
		if err := c.validate(); err != nil {
			return nil, err
		}
		p := newProber(c, log, r.soon)
		if err := r.register(c.Name, c.OnFailure, func() error { return c.verdict(r.round.results[i], r.round.at) }); err != nil {
			return nil, err
		}
		r.probers = append(r.probers, p)
	}
	if err := r.register(drainName, Unroute, r.drainVerdict); err != nil {
		return nil, err
	}
	r.report.Store(Pending{component, "no check has run yet"}.Report())
	return r, nil
}

// register gives health-go a function that only loads what a prober found.
// health-go's own timeout would be a second opinion, so it is out of the way.
func (r *Runner) register(name string, c Consequence, verdict func() error) error {
	return r.health.Register(health.Config{
		Name:      name,
		Timeout:   time.Hour,
		SkipOnErr: c != Restart,
		Check:     func(context.Context) error { return verdict() },
	})
}

// Run probes and publishes until ctx ends, and returns when every prober has
// stopped. A check that hangs then is left behind.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, p := range r.probers {
		wg.Go(func() { p.run(ctx) })
	}
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.dirty:
		case <-ctx.Done():
			return
		}
		r.publish()
	}
}

// soon asks for a publication and does not wait for it.
func (r *Runner) soon() {
	select {
	case r.dirty <- struct{}{}:
	default: // one is due already
	}
}

// Drain makes the service not ready, and has published that when it returns.
// /health is not affected.
func (r *Runner) Drain() {
	r.draining.Store(true)
	r.publish()
}

// WasReady says whether /ready has ever been 200.
func (r *Runner) WasReady() bool { return r.wasReady.Load() }

func (r *Runner) drainVerdict() error {
	if r.round.draining {
		return fmt.Errorf("told to stop: finishing the requests under way")
	}
	return nil
}

// Report returns the last published answer, or one that says stale.
func (r *Runner) Report() *Report {
	report := r.report.Load()
	now := time.Now()
	if age := now.Sub(report.At); age > publishStale {
		return unavailable(r.component, "stale", fmt.Sprintf("no health answer was made for %s", age.Round(100*time.Millisecond)), now)
	}
	return report
}

// publish makes an answer of the last results.
func (r *Runner) publish() {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	r.round = round{at: time.Now(), draining: r.draining.Load()}
	a := answer{Ready: !r.round.draining, Checks: make(map[string]checkAnswer, len(r.probers))}
	earned := true
	for _, p := range r.probers {
		result := *p.result.Load()
		r.round.results = append(r.round.results, result)
		a.Checks[p.check.Name] = p.check.answer(result, r.round.at)
		if p.check.OnFailure != Degrade {
			earned = earned && result.Status != Starting
			a.Ready = a.Ready && p.check.verdict(result, r.round.at) == nil
		}
	}
	a.Check = r.health.Measure(context.Background())
	if !earned {
		// what may end this container or its traffic has not been asked yet
		a.Status = health.StatusUnavailable
		a.Ready = false
	}
	if a.Ready {
		r.wasReady.Store(true)
	}
	r.report.Store(newReport(a))
}
