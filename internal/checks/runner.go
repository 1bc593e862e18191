package checks

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// publishEvery is the longest time between two snapshots.
	publishEvery = time.Second
	// publishStale is the age at which a snapshot no longer counts, because the publisher is dead or the whole
	// process stood still.
	publishStale = 5 * time.Second
	// startWait is how long /health waits for a check that unroutes to be decided. A longer wait, as for one with a long
	// timeout whose server hangs, would get the container killed, and the next one too.
	startWait = 5 * time.Second
	// settleTime is how long Settled waits at most.
	settleTime = time.Second
)

// Runner runs checks and publishes what they found.
type Runner struct {
	component   Component
	probers     []*prober
	metrics     *metrics
	maintenance maintenance
	draining    atomic.Bool
	wasReady    atomic.Bool
	published   atomic.Pointer[Snapshot]
	due         chan struct{} // has room for one: publish soon

	publishing sync.Mutex // of what follows
	measurer   *measurer
	resumed    time.Time // when this process last went on after it stood still, or zero
}

// New returns a Runner of these checks, whose names differ and are not those of orders. It runs none of them yet.
// Until Run has published, its Snapshot says starting.
func New(component Component, log *slog.Logger, checks ...Check) (*Runner, error) {
	r := &Runner{component: component, due: make(chan struct{}, 1), metrics: newMetrics()}
	r.maintenance.log = log
	var err error
	if r.measurer, err = newMeasurer(); err != nil {
		return nil, err
	}
	for _, c := range checks {
		if err := r.measurer.add(c.Name, c.OnFailure); err != nil {
			return nil, err
		}
		r.probers = append(r.probers, newProber(c, log, r.metrics, r.publishSoon))
	}
	for _, order := range []string{drainName, maintenanceName} {
		if err := r.measurer.add(order, Unroute); err != nil {
			return nil, err
		}
	}
	r.published.Store(Pending{component, "no check has run yet"}.Snapshot())
	return r, nil
}

// Run probes and publishes until ctx ends, and returns when every prober has stopped. It does not wait for a check
// that hangs.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, p := range r.probers {
		wg.Go(func() { p.run(ctx) })
	}
	// on a goroutine of its own: it logs, and publishing must not wait for a log that nobody reads
	wg.Go(func() { repeat(ctx, nil, r.expire) })
	repeat(ctx, r.due, r.publish)
}

// repeat calls f at each publishEvery, and when due has a value, until ctx ends.
func repeat(ctx context.Context, due <-chan struct{}, f func()) {
	tick := time.Tick(publishEvery)
	for {
		select {
		case <-tick:
		case <-due:
		case <-ctx.Done():
			return
		}
		f()
	}
}

// expire notices what changes by time alone.
func (r *Runner) expire() {
	for _, p := range r.probers {
		p.expire()
	}
	r.maintenance.expire()
}

// publishSoon asks Run to publish and does not wait for it.
func (r *Runner) publishSoon() {
	select {
	case r.due <- struct{}{}:
	default: // it is asked already
	}
}

func (r *Runner) publish() {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	now := time.Now()
	if now.Sub(r.published.Load().At) > publishStale {
		r.resumed = now
	}
	s := &Snapshot{At: now, Component: r.component, Reasons: r.orders(now)}
	allDecided := true
	for _, p := range r.probers {
		last := p.check.resumed(*p.result.Load(), r.resumed)
		c := newCheckHistory(p.check, last, now)
		s.Checks = append(s.Checks, c)
		s.unsettled = s.unsettled || last.stale && c.OnFailure == Restart
		waits := c.OnFailure == Restart || c.OnFailure == Unroute && now.Sub(last.since) < startWait
		allDecided = allDecided && (c.Status != Starting || !waits)
	}
	s.Status = r.measurer.measure(s.failures())
	if !allDecided {
		s.Status = unavailable
	}
	s.Healthy, s.Ready = s.Status != unavailable, s.readyWithout(false)
	if s.readyWithout(false, maintenanceName) {
		r.wasReady.Store(true)
	}
	r.published.Store(s)
}

// orders returns the reasons not to be ready that are no failures.
func (r *Runner) orders(now time.Time) (orders []Reason) {
	if r.draining.Load() {
		orders = append(orders, Reason{drainName, "told to stop: finishing the requests under way"})
	}
	if m := r.maintenance.at(now); m != nil {
		orders = append(orders, Reason{maintenanceName, m.String()})
	}
	return orders
}

// Snapshot returns the last published snapshot, or one that says stale.
func (r *Runner) Snapshot() *Snapshot {
	s := r.published.Load()
	if age := time.Since(s.At); age > publishStale {
		why := fmt.Sprintf("no health answer was made for %s", age.Round(100*time.Millisecond))
		s = unknown(r.component, "stale", why)
		s.unsettled = true
	}
	return s
}

// Settled is Snapshot, for a verdict that stays. If this process stood still until now, it waits, for a second at most,
// until the checks have asked again: before that they fail.
func (r *Runner) Settled() *Snapshot {
	for begun := time.Now(); ; time.Sleep(settleTime / 100) {
		if s := r.Snapshot(); !s.unsettled || time.Since(begun) >= settleTime {
			return s
		}
	}
}

// Drain makes the service not ready, and has published that when it returns. /health is not affected.
func (r *Runner) Drain() {
	r.draining.Store(true)
	r.publish()
}

// WasReady is whether /ready has ever been 200, or would have been without a maintenance.
func (r *Runner) WasReady() bool { return r.wasReady.Load() }
