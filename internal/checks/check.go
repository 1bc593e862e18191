// Package checks watches what the service needs and publishes what it found. It owns probing, thresholds, staleness
// and the answers of /health and /ready, and is the only package that knows health-go. It knows no store, no
// route and no configuration.
package checks

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Consequence is what the failure of a check means for this container.
type Consequence string

const (
	// Restart: this container can't do its work and a new one could. /health is 503.
	Restart Consequence = "restart"
	// Unroute: send no traffic now, but killing would not help. /ready is 503, /health stays 200.
	Unroute Consequence = "unroute"
	// Degrade: something is ill and the service still serves. Both stay 200.
	Degrade Consequence = "degrade"
)

// Orders not to be ready share the names of checks, so no check may have one of these.
const (
	drainName       = "drain"
	maintenanceName = "maintenance"
)

// Check is one question that is asked at an interval. Its times and thresholds are valid by the configuration.
type Check struct {
	Name      string
	OnFailure Consequence
	Cure      string // what an operator can do about its failure or warning

	// Run asks once. It returns nil if the check passes, a Warner if it passes with a warning, and any other error if
	// it fails. ctx ends at the timeout, and has no Deadline. Run changes nothing. Its error is shown to operators
	// and holds no secret. If Run hangs, it costs one goroutine, and no second run begins.
	Run func(ctx context.Context) error
	// Close ends what Run keeps, or is nil. It is called when the check is stopped, unless a run hangs.
	Close func()

	Interval time.Duration // from the start of one run to that of the next, shortened by up to 10 % at random
	Timeout  time.Duration // of one run, at most Interval
	// After FailAfter failures in a row a healthy check fails, and after PassAfter passes in a row a failing one is
	// healthy; both are at least 1. Before a check was healthy for the first time, one failure is enough.
	FailAfter, PassAfter int
	StaleAfter           time.Duration // an older result counts as a failure; at least Interval + Timeout
}

// verdict returns what r counts as at the time now. The error is why the check is not OK, or the last failure of one
// that is still OK.
func (c Check) verdict(r result, now time.Time) (counts Status, err string) {
	switch {
	case r.status == Starting && r.finished.IsZero():
		return Starting, "starting: no result yet"
	case r.status == Starting:
		return Starting, fmt.Sprintf("starting: %d of %d passes in a row", r.passesInARow, c.PassAfter)
	case c.tooOld(r, now):
		return Failing, fmt.Sprintf("stale: no result for %s", now.Sub(r.finished).Round(100*time.Millisecond))
	case r.counts() == Failing && r.failure == "":
		return Failing, fmt.Sprintf("recovering: %d of %d passes in a row", r.passesInARow, c.PassAfter)
	}
	return r.counts(), r.failure
}

func (c Check) tooOld(r result, now time.Time) bool { return now.Sub(r.finished) > c.StaleAfter }

// after returns the result that follows r when a run ended at now.
func (c Check) after(r result, o outcome, now time.Time) result {
	next := r
	next.failure, next.latency, next.finished = o.failure, o.took, now
	passed := o.failure == ""
	if passed {
		next.warning, next.lastSuccess, next.failuresInARow = o.warning, now, 0
		next.passesInARow++
		if next.passesInARow >= c.PassAfter {
			next.status, next.stale = OK, false
		}
	} else {
		next.passesInARow = 0
		next.failuresInARow++
		next.failures++
		next.lastFailure = &Failure{instant(now), o.failure}
		if r.status == Starting || r.status == OK && next.failuresInARow >= c.FailAfter {
			next.status, next.stale = Failing, false
		}
	}
	next.addChange(r, now)
	if passed && next.counts() == OK {
		next.failures = 0
	}
	return next
}

// expired returns the result that follows r when at now it is too old.
func (c Check) expired(r result, now time.Time) result {
	if r.status != OK || r.stale || !c.tooOld(r, now) {
		return r
	}
	next := r
	_, why := c.verdict(r, now)
	next.stale, next.passesInARow, next.lastFailure = true, 0, &Failure{instant(now), why}
	next.addChange(r, now)
	return next
}

// resumed returns r as it counts after this process stood still until at. If the next success was due before that, the
// last one does not count: the check fails until it passes again. A check that degrades is not affected.
func (c Check) resumed(r result, at time.Time) result {
	due := r.lastSuccess.Add(c.Interval + c.Timeout)
	if c.OnFailure != Degrade && r.counts() == OK && due.Before(at) {
		r.stale = true
		r.failure = cmp.Or(r.failure, "stale: this process stood still, and has not asked since")
	}
	return r
}
