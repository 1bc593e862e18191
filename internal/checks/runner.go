package checks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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

	// Names of orders, which stand among the failures beside the checks.
	drainName       = "drain"
	maintenanceName = "maintenance"
)

// Runner runs checks and publishes what they found.
type Runner struct {
	component   Component
	probers     []*prober
	health      *health.Health
	metrics     *metrics
	maintenance maintenance
	draining    atomic.Bool
	wasReady    atomic.Bool
	report      atomic.Pointer[Report]
	dirty       chan struct{} // has room for one: publish soon

	publishing sync.Mutex
	round      round     // being published
	resumed    time.Time // when this process went on after it stood still, or zero
}

// errStoodStill is said of a check that was to be asked again while the process
// stood still: the world went on, and an old success is none.
var errStoodStill = errors.New("stale: this process stood still, and has not asked since")

// round is what one answer is made of, so that no two parts of it differ.
type round struct {
	at      time.Time
	results []Result // of the probers, in their order
	orders  []order
}

// order is somebody's will that no traffic comes. It is no illness.
type order struct {
	name string
	err  error // nil while it is not given
}

// New returns a Runner of these checks, whose names differ. It runs nothing
// yet; until the first round its Report says starting.
func New(component Component, log *slog.Logger, checks ...Check) (*Runner, error) {
	r := &Runner{component: component, dirty: make(chan struct{}, 1), metrics: newMetrics()}
	r.maintenance.log = log
	var err error
	if r.health, err = health.New(health.WithComponent(health.Component(component))); err != nil {
		return nil, err
	}
	for i, c := range checks {
		if err := c.validate(); err != nil {
			return nil, err
		}
		p := newProber(c, log, r.metrics, r.soon)
		if err := r.register(c.Name, c.OnFailure, func() error { return c.verdict(r.round.results[i], r.round.at) }); err != nil {
			return nil, err
		}
		r.probers = append(r.probers, p)
	}
	for i, name := range []string{drainName, maintenanceName} {
		if err := r.register(name, Unroute, func() error { return r.round.orders[i].err }); err != nil {
			return nil, err
		}
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
	wg.Go(func() { r.expire(ctx) })
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

// expire notices what time alone changes, and says it. It is no part of
// publishing, which must not wait for a log that nobody reads.
func (r *Runner) expire(ctx context.Context) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, p := range r.probers {
			p.expire()
		}
		r.maintenance.expire()
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

// WasReady says whether /ready has ever been 200, or would have been but for a
// maintenance.
func (r *Runner) WasReady() bool { return r.wasReady.Load() }

func (r *Runner) drainVerdict() error {
	if r.draining.Load() {
		return errors.New("told to stop: finishing the requests under way")
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
	now := time.Now()
	r.round = round{at: now, orders: []order{{drainName, r.drainVerdict()}, {maintenanceName, r.maintenance.at(now).verdict()}}}
	if now.Sub(r.report.Load().At) > publishStale {
		r.resumed = now
	}
	for _, p := range r.probers {
		result := *p.result.Load()
		due := result.Finished.Add(p.check.Interval + p.check.Timeout)
		if p.check.OnFailure != Degrade && result.counts() == OK && due.Before(r.resumed) {
			result.Stale, result.Err = true, errStoodStill
		}
		r.round.results = append(r.round.results, result)
	}
	d := draft{Check: r.health.Measure(context.Background()), round: r.round, earned: true}
	for i, p := range r.probers {
		d.checks = append(d.checks, p.check)
		d.earned = d.earned && (p.check.OnFailure == Degrade || r.round.results[i].Status != Starting)
	}
	report := d.report()
	if report.ReadyStatus == http.StatusOK || report.fit && r.round.orders[0].err == nil {
		r.wasReady.Store(true)
	}
	r.report.Store(report)
}
