package checks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// graceTime is how long after its deadline a run may still return its error.
const graceTime = 100 * time.Millisecond

// prober runs one check at its interval and keeps the last result.
type prober struct {
	check   Check
	log     *slog.Logger
	metrics *metrics
	changed func() // called when the status or the warning changes

	hanging  *oneRun    // the run that outlived its deadline, or nil; only probe uses it
	updating sync.Mutex // of result, which is read without it
	result   atomic.Pointer[result]
}

type oneRun struct {
	began time.Time
	done  chan error // has room for the one answer
}

func newProber(check Check, log *slog.Logger, metrics *metrics, changed func()) *prober {
	p := &prober{check: check, log: log.With("check", check.Name), metrics: metrics, changed: changed}
	p.result.Store(&result{status: Starting, since: time.Now(), changes: []Change{}}) // JSON has an array
	return p
}

// run probes at once and then at the interval until ctx ends. It does not wait for a run that hangs.
func (p *prober) run(ctx context.Context) {
	for {
		next := time.After(jitter(p.check.Interval))
		p.probe(ctx)
		select {
		case <-next:
		case <-ctx.Done():
			if p.hanging == nil && p.check.Close != nil {
				p.check.Close()
			}
			return
		}
	}
}

// jitter keeps replicas from asking a shared dependency all at once. It only shortens, so that no result grows stale
// by chance.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.1*rand.Float64()))
}

// probe makes one run and records its outcome. While an earlier run hangs it makes none, and records that instead.
func (p *prober) probe(ctx context.Context) {
	if f := p.hanging; f != nil {
		select {
		case <-f.done: // too late to count
			p.hanging = nil
		default:
			age := time.Since(f.began)
			p.fail(age, "hung: no answer for %s (timeout %s)", age.Round(100*time.Millisecond), p.check.Timeout)
			return
		}
	}
	deadline := newRunContext(ctx, p.check)
	defer deadline.end(context.Canceled)
	f := &oneRun{began: time.Now(), done: make(chan error, 1)}
	p.hanging = f
	go func() { f.done <- call(deadline, p.check.Run) }()
	err, answered := deadline.await(f.done)
	late := !answered
	if late { // a run that obeys its deadline ends now: its own error says more than ours
		select {
		case err = <-f.done:
			answered = true
		case <-time.After(graceTime):
		}
	}
	if answered {
		p.hanging = nil
	}
	if ctx.Err() == nil { // else the prober was stopped, which says nothing about the check
		p.finish(time.Since(f.began), err, late, answered)
	}
}

// finish records a run. An answer after the deadline is never a pass.
func (p *prober) finish(took time.Duration, err error, late, answered bool) {
	o := outcomeOf(err, took)
	if _, is := err.(Skipped); !is {
		p.metrics.duration.WithLabelValues(p.check.Name).Observe(took.Seconds())
	}
	switch {
	case !answered:
		p.fail(took, "hung: no answer within %s", p.check.Timeout)
	case late && (o.failure == "" || errors.Is(err, context.DeadlineExceeded)):
		p.fail(took, "no answer within %s", p.check.Timeout)
	default:
		p.record(o)
	}
}

func (p *prober) fail(took time.Duration, format string, args ...any) {
	p.record(outcome{failure: fmt.Sprintf(format, args...), took: took})
}

func (p *prober) record(o outcome) {
	p.update(func(was result) result { return p.check.after(was, o, time.Now()) })
}

// expire makes a result that is too old count as a failure.
func (p *prober) expire() {
	p.update(func(was result) result { return p.check.expired(was, time.Now()) })
}

// update replaces the result. It logs and counts what changed, once.
func (p *prober) update(next func(result) result) {
	p.updating.Lock()
	was := p.result.Load()
	now := next(*was)
	p.result.Store(&now)
	p.updating.Unlock()
	turned := now.counts() != was.counts()
	if turned || now.warning != was.warning {
		p.changed()
	}
	if turned {
		p.metrics.changes.WithLabelValues(p.check.Name, string(now.counts())).Inc()
		p.logChange(now.changes[0], now.since.Sub(was.since))
	}
	switch {
	case now.warning != "" && was.warning == "":
		p.log.Warn("health warning", "warning", now.warning)
	case now.warning == "" && was.warning != "":
		p.log.Info("health warning ended", "warning", was.warning)
	}
}

func (p *prober) logChange(c Change, lasted time.Duration) {
	attrs := []any{"from", c.From, "to", c.To, "on_failure", p.check.OnFailure}
	switch {
	case c.To == Failing:
		p.log.Warn("health changed", append(attrs, "failures", c.Failures, "err", c.Error)...)
	case c.From == Failing:
		p.log.Info("health changed", append(attrs, "failures", c.Failures,
			"failed_for", lasted.Round(time.Millisecond), "err", c.Error)...)
	default:
		p.log.Info("health changed", attrs...)
	}
}

// call runs a check on this goroutine, which ends with it. A panic is an error, and so is a fault on mapped memory.
func call(ctx context.Context, run func(context.Context) error) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the check panicked: %v", v)
		}
	}()
	return run(ctx)
}
