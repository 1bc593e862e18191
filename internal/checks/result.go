package checks

import (
	"slices"
	"time"
)

const maxChanges = 20

// Status is what a check counts as.
type Status string

const (
	Starting Status = "starting" // not decided yet
	OK       Status = "ok"
	Failing  Status = "failing"
)

// Failure is a run that failed, or a result that grew too old.
type Failure struct {
	At    Instant `json:"at" format:"date-time"`
	Error string  `json:"error"`
}

// Change is one change of a check's status.
type Change struct {
	At       Instant `json:"at" format:"date-time"`
	From     Status  `json:"from" enum:"starting,ok,failing"`
	To       Status  `json:"to" enum:"starting,ok,failing"`
	Failures int     `json:"failures" doc:"Runs that failed before the change"`
	Lasted   string  `json:"lasted" doc:"How long the old status lasted"`
	Error    string  `json:"error,omitempty" doc:"Why it fails, or why it did"`
}

// result is what a prober knows of its check.
type result struct {
	status         Status // by the thresholds
	stale          bool   // status is OK, but the last pass is too old to count
	failure        string // why the last run failed; empty if it passed
	warning        string // of the last run that passed, or empty
	latency        time.Duration
	finished       time.Time // end of the last run, or zero
	lastSuccess    time.Time // or zero
	failuresInARow int
	passesInARow   int
	failures       int       // since it last counted as OK and passed
	since          time.Time // start of what it counts as
	lastFailure    *Failure  // or nil
	changes        []Change  // newest first, at most maxChanges; never changed in place
}

func (r result) counts() Status {
	if r.stale {
		return Failing
	}
	return r.status
}

func (r *result) addChange(was result, now time.Time) {
	if r.counts() == was.counts() {
		return
	}
	change := Change{At: instant(now), From: was.counts(), To: r.counts(), Failures: r.failures,
		Lasted: now.Sub(was.since).Round(time.Millisecond).String()}
	if (r.counts() == Failing || was.counts() == Failing) && r.lastFailure != nil {
		change.Error = r.lastFailure.Error
	}
	kept := was.changes[:min(len(was.changes), maxChanges-1)]
	r.since, r.changes = now, slices.Insert(slices.Clone(kept), 0, change)
}

// Instant is a time that JSON shows in UTC, with milliseconds.
type Instant struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (i Instant) MarshalJSON() ([]byte, error) {
	return i.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

func instant(t time.Time) Instant { return Instant{t.UTC().Truncate(time.Millisecond)} }
