package checks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	// lastWords is how long after its deadline a run may still say why.
	lastWords = 100 * time.Millisecond
	// maxWords bounds an error in bytes: what a peer sends must not grow into
	// the answer that a probe reads.
	maxWords = 512
)

// prober runs one check for ever and keeps its last result.
type prober struct {
	check    Check
	log      *slog.Logger
	metrics  *metrics
	updating sync.Mutex // of result, which is read without it
	result   atomic.Pointer[Result]
	// changed is called after a result that changes the status.
	changed func()
}

func newProber(check Check, log *slog.Logger, metrics *metrics, changed func()) *prober {
	p := &prober{check: check, log: log.With("check", check.Name), metrics: metrics, changed: changed}
	p.result.Store(&Result{Status: Starting, Since: time.Now()})
	return p
}

// run probes at once, or after the delay of the check, and then at the interval
// until ctx ends. A run that hangs beyond ctx is left behind.
func (p *prober) run(ctx context.Context) {
	if p.check.Delay > 0 {
		first := time.NewTimer(p.check.Delay)
		defer first.Stop()
		select {
		case <-first.C:
		case <-ctx.Done():
			return
		}
	}
	var hanging *flight
	for {
		next := time.NewTimer(jitter(p.check.Interval))
		hanging = p.probe(ctx, hanging)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
	}
}

// jitter keeps many replicas from asking a shared dependency all at once. It
// only shortens: a result must not grow stale by chance.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.1*rand.Float64()))
}

// flight is one run of a check.
type flight struct {
	began time.Time
	done  chan error // has room for the one answer
}

// probe makes one run, unless the last one still hangs, and records what came
// of it. It returns the run if that hangs now.
func (p *prober) probe(ctx context.Context, hanging *flight) *flight {
	f := hanging
	if f != nil {
		select {
		case <-f.done: // too late to count
			f = nil
		default:
			p.record(fmt.Errorf("hung: no answer for %s (timeout %s)", since(f.began), p.check.Timeout), time.Since(f.began))
			return f
		}
	}
	deadline := newPatience(ctx, p.check)
	defer deadline.end(context.Canceled)
	f = &flight{began: time.Now(), done: make(chan error, 1)}
	go func() { f.done <- call(deadline, p.check.Run) }()
	if err, answered := deadline.await(f.done); answered {
		p.finish(ctx, f, err, nil)
		return nil
	}
	if ctx.Err() != nil {
		return f
	}
	// a run that obeys its deadline ends now: its own words say more than ours
	grace := time.NewTimer(lastWords)
	defer grace.Stop()
	select {
	case err := <-f.done:
		p.finish(ctx, f, err, deadline.Err())
		return nil
	case <-grace.C:
	}
	took := time.Since(f.began)
	p.metrics.ran(p.check.Name, took)
	p.record(fmt.Errorf("hung: no answer within %s", p.check.Timeout), took)
	return f
}

// finish records a run that ended. Success after the deadline is none, and the
// end of the prober itself says nothing of the check.
func (p *prober) finish(ctx context.Context, f *flight, err, late error) {
	took := time.Since(f.began)
	_, warns := warning(err)
	switch {
	case ctx.Err() != nil:
		return
	case late != nil && (err == nil || warns || errors.Is(err, context.DeadlineExceeded)):
		err = fmt.Errorf("no answer within %s", p.check.Timeout)
	}
	var again Unasked
	if !errors.As(err, &again) {
		p.metrics.ran(p.check.Name, took)
	}
	p.record(err, took)
}

// record takes in what a run came to, which may have taken so long.
func (p *prober) record(err error, took time.Duration) {
	words, warns := warning(err)
	if warns {
		err = nil
	}
	p.update(func(was Result) Result {
		next := p.check.after(was, brief(err), took, time.Now())
		if err == nil {
			next.Warning = printable(words)
		}
		return next
	})
}

// expire turns a check whose last result has grown too old.
func (p *prober) expire() {
	p.update(func(was Result) Result { return p.check.expired(was, time.Now()) })
}

// update replaces the result, and says what changed by it, once.
func (p *prober) update(next func(Result) Result) {
	p.updating.Lock()
	was := p.result.Load()
	now := next(*was)
	p.result.Store(&now)
	p.updating.Unlock()
	turned := now.counts() != was.counts()
	if turned || now.Warning != was.Warning {
		p.changed()
	}
	if turned {
		p.metrics.turned(p.check.Name, now.counts())
		p.say(now.Changes[0])
	}
	switch {
	case now.Warning != "" && was.Warning == "":
		p.log.Warn("health warning", "warning", now.Warning)
	case now.Warning == "" && was.Warning != "":
		p.log.Info("health warning ended", "warning", was.Warning)
	}
}

func (p *prober) say(c Change) {
	attrs := []any{"from", c.From, "to", c.To, "on_failure", p.check.OnFailure}
	switch {
	case c.To == Failing:
		p.log.Warn("health changed", append(attrs, "failures", c.Failures, "err", c.Err)...)
	case c.From == Failing:
		p.log.Info("health changed", append(attrs, "failures", c.Failures, "failed_for", c.Lasted.Round(time.Millisecond), "err", c.Err)...)
	default:
		p.log.Info("health changed", attrs...)
	}
}

// call runs a check on this goroutine, which ends with it. A panic of it, or a
// fault on mapped memory, is its error.
func call(ctx context.Context, run func(context.Context) error) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the check panicked: %v", v)
		}
	}()
	return run(ctx)
}

// brief is err as one printable line of at most maxWords.
func brief(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(printable(err.Error()))
}

// printable is text as one printable line of at most maxWords.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
