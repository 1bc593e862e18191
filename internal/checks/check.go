// Package checks watches what the service needs and publishes what it found.
// It owns probing, thresholds, staleness and the words of /health and /ready,
// and is the only one that knows health-go. It knows no store, no HTTP route
// and no configuration.
package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Consequence is what the failure of a check means for this container.
type Consequence string

const (
	// Restart: this container can't do its work and a new one could.
	// /health is 503.
	Restart Consequence = "restart"
	// Unroute: send no traffic now, but killing would not help.
	// /ready is 503, /health stays 200.
	Unroute Consequence = "unroute"
	// Degrade: something is ill and the service still serves. Both stay 200.
	Degrade Consequence = "degrade"
)

// Check is one question, asked again and again.
type Check struct {
	Name      string
	OnFailure Consequence

	// Run asks once: nil is healthy, a Warner healthy with something to say. ctx
	// carries the deadline. It changes nothing, its error is shown to operators
	// and holds no secret, and it may panic or hang: then it costs one goroutine,
	// and no second run begins.
	Run func(ctx context.Context) error

	Interval time.Duration // from the start of one run to that of the next, up to 10 % less by chance
	Timeout  time.Duration // of one run, below Interval
	// FailAfter failures in a row turn a healthy check, PassAfter successes a
	// failing one. The very first run needs no company: it decides alone when it
	// fails, for health must be earned.
	FailAfter, PassAfter int
	StaleAfter           time.Duration // older than this, a result counts as failure
	// Delay is how long after the start the first run begins. Until it has ended,
	// the check is starting and does not fail. For checks that degrade.
	Delay time.Duration
}

func (c Check) validate() error {
	switch {
	case c.Name == "" || c.Name == drainName || c.Name == maintenanceName:
		return fmt.Errorf("check %q: not a name for a check", c.Name)
	case c.Run == nil:
		return fmt.Errorf("check %s: nothing to run", c.Name)
	case c.OnFailure != Restart && c.OnFailure != Unroute && c.OnFailure != Degrade:
		return fmt.Errorf("check %s: unknown consequence %q", c.Name, c.OnFailure)
	case c.Timeout <= 0 || c.Interval < c.Timeout:
		return fmt.Errorf("check %s: timeout %s must be above 0 and within interval %s", c.Name, c.Timeout, c.Interval)
	case c.FailAfter < 1 || c.PassAfter < 1:
		return fmt.Errorf("check %s: thresholds must be at least 1", c.Name)
	case c.Delay < 0 || c.Delay > 0 && c.OnFailure != Degrade:
		return fmt.Errorf("check %s: delay %s is for checks that degrade", c.Name, c.Delay)
	case c.StaleAfter < c.Interval+c.Timeout:
		return fmt.Errorf("check %s: stale_after %s must be at least interval + timeout", c.Name, c.StaleAfter)
	}
	return nil
}

// Warner is the error of a run that passed and has something to say, such as a
// certificate that ends soon. It may be wrapped, and joined with others of its
// kind; joined with a failure it is one.
type Warner interface {
	error
	Warning() string // one line for operators, without secrets
}

// Unasked is the error of a run that asked nothing, and says the last answer
// again. It counts, and the time it took does not.
type Unasked interface {
	error
	Unasked()
}

// warning is what err says if it is nothing but a Warner. errors.As would also
// find one that stands beside a failure.
func warning(err error) (words string, warns bool) {
	switch e := err.(type) {
	case Warner:
		return e.Warning(), true
	case interface{ Unwrap() error }:
		return warning(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []string
		for _, part := range e.Unwrap() {
			words, warns := warning(part)
			if !warns {
				return "", false
			}
			all = append(all, words)
		}
		return strings.Join(all, "; "), len(all) > 0
	}
	return "", false
}

// Status is what a check is known to be.
type Status string

const (
	Starting Status = "starting" // no result yet
	OK       Status = "ok"
	Failing  Status = "failing"
)

// Result is what a prober knows of its check.
type Result struct {
	Status              Status
	Stale               bool   // Status was OK, and no run has passed for too long
	Err                 error  // of the last run that ended, or why it has not
	Warning             string // of the last run that passed, or empty
	Latency             time.Duration
	Finished            time.Time // when the last result came, or zero
	LastSuccess         time.Time // or zero
	ConsecutiveFailures int
	ConsecutivePasses   int
	Failures            int       // since it was OK and passed
	Since               time.Time // of what it counts as
	LastFailure         Failure
	Changes             []Change // newest first, at most maxChanges; never changed in place
}

var errNoResult = errors.New("starting: no result yet")

// counts is the status that r counts as.
func (r Result) counts() Status {
	if r.Stale {
		return Failing
	}
	return r.Status
}

// verdict is r as it counts at the time now: nil, or why the check fails.
func (c Check) verdict(r Result, now time.Time) error {
	switch {
	case r.Finished.IsZero() && c.Delay > 0 && now.Sub(r.Since) <= c.Delay+c.Timeout+time.Second:
		return nil // its first result is not due yet
	case r.Status == Starting && r.Finished.IsZero():
		return errNoResult
	case r.Status == Starting:
		return fmt.Errorf("starting: %d of %d passes in a row", r.ConsecutivePasses, c.PassAfter)
	case c.old(r, now):
		return fmt.Errorf("stale: no result for %s", now.Sub(r.Finished).Round(100*time.Millisecond))
	case r.counts() == Failing && r.Err == nil:
		return fmt.Errorf("recovering: %d of %d passes in a row", r.ConsecutivePasses, c.PassAfter)
	case r.Status == Failing, r.Stale:
		return r.Err
	}
	return nil
}

func (c Check) old(r Result, now time.Time) bool { return now.Sub(r.Finished) > c.StaleAfter }

// after is the result that follows r when a run ended at now with err.
func (c Check) after(r Result, err error, latency time.Duration, now time.Time) Result {
	next := r
	next.Err, next.Latency, next.Finished = err, latency, now
	if err == nil {
		next.LastSuccess, next.ConsecutiveFailures = now, 0
		next.ConsecutivePasses++
		if next.ConsecutivePasses >= c.PassAfter {
			next.Status, next.Stale = OK, false
		}
	} else {
		next.ConsecutivePasses = 0
		next.ConsecutiveFailures++
		next.Failures++
		next.LastFailure = Failure{err, now}
		if r.Status == Starting || r.Status == OK && next.ConsecutiveFailures >= c.FailAfter {
			next.Status, next.Stale = Failing, false
		}
	}
	next.remember(r, now)
	if err == nil && next.counts() == OK {
		next.Failures = 0
	}
	return next
}

// expired is the result that follows r when at now nothing has come for too long.
func (c Check) expired(r Result, now time.Time) Result {
	if r.Status != OK || r.Stale || !c.old(r, now) {
		return r
	}
	next := r
	next.Stale, next.ConsecutivePasses, next.LastFailure = true, 0, Failure{c.verdict(r, now), now}
	next.remember(r, now)
	return next
}
