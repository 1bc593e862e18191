package checks

import (
	"slices"
	"time"
)

// maxChanges is how many changes of a check are kept.
const maxChanges = 20

// Failure is a run that failed, or the lack of one.
type Failure struct {
	Err error // nil if there was none
	At  time.Time
}

// Change is one turn of a check from one status to another.
type Change struct {
	From, To Status
	At       time.Time
	Err      error         // why it fails now, or why it did; nil if it never failed
	Failures int           // runs that failed before it turned
	Lasted   time.Duration // how long it was From
}

// remember adds to r what changed since was, if anything did.
func (r *Result) remember(was Result, now time.Time) {
	if r.counts() == was.counts() {
		return
	}
	change := Change{From: was.counts(), To: r.counts(), At: now, Failures: r.Failures, Lasted: now.Sub(was.Since)}
	if r.counts() == Failing || was.counts() == Failing {
		change.Err = r.LastFailure.Err
	}
	kept := was.Changes[:min(len(was.Changes), maxChanges-1)]
	r.Since, r.Changes = now, slices.Insert(slices.Clone(kept), 0, change)
}
