package checks

import (
	"fmt"
	"slices"
	"time"
)

// Component names the service in its answers.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Snapshot is the health of the service at one moment. It does not change after it is published.
type Snapshot struct {
	At        time.Time
	Component Component
	Status    string         // health-go's word: OK, Partially Available or Unavailable
	Healthy   bool           // /health is 200
	Ready     bool           // /ready is 200
	Checks    []CheckHistory // in the order they were given; none while nothing is known
	Reasons   []Reason       // not to be ready, besides failing checks

	unsettled bool // nothing was published for too long, or a check that restarts has given no result for too long
}

// Reason is a reason not to be ready that is not the failure of a check: an order (draining or maintenance), or that
// nothing is known (starting or stale).
type Reason struct{ Name, Text string }

// CheckState is one check in a Snapshot.
type CheckState struct {
	Name                string      `json:"-"`
	Status              Status      `json:"status" enum:"starting,ok,failing"`
	OnFailure           Consequence `json:"on_failure" enum:"restart,unroute,degrade"`
	LatencyMS           float64     `json:"latency_ms" doc:"Of the last run"`
	LastSuccess         *Instant    `json:"last_success,omitempty" format:"date-time"`
	ConsecutiveFailures int         `json:"consecutive_failures"`
	Since               Instant     `json:"since" format:"date-time" doc:"When the status began"`
	Interval            string      `json:"interval"`
	Timeout             string      `json:"timeout"`
	Error               string      `json:"error,omitempty" doc:"Of the last run; below fail_after the status stays ok"`
	Warning             string      `json:"warning,omitempty" doc:"Of the last run that passed; none while the check fails"`
	Finished            *Instant    `json:"-"` // end of the last run, or nil
	Cure                string      `json:"-"` // of the Check
}

// CheckHistory is one check with its past.
type CheckHistory struct {
	CheckState
	LastFailure *Failure `json:"last_failure,omitempty" doc:"Kept after recovery"`
	Changes     []Change `json:"changes" maxItems:"20" doc:"The last 20, newest first"`
}

// newCheckHistory returns the check c, whose last result is r, as it is at the time now.
func newCheckHistory(c Check, r result, now time.Time) CheckHistory {
	h := CheckHistory{
		CheckState: CheckState{
			Name:                c.Name,
			OnFailure:           c.OnFailure,
			LatencyMS:           float64(r.latency.Microseconds()) / 1000,
			LastSuccess:         shown(r.lastSuccess),
			ConsecutiveFailures: r.failuresInARow,
			Since:               instant(r.since),
			Interval:            c.Interval.String(),
			Timeout:             c.Timeout.String(),
			Warning:             r.warning,
			Finished:            shown(r.finished),
			Cure:                c.Cure,
		},
		LastFailure: r.lastFailure,
		Changes:     r.changes,
	}
	if h.Status, h.Error = c.verdict(r, now); h.Status == Failing {
		h.Warning = "" // of before the failure
	}
	return h
}

func (c CheckState) failing() bool { return c.Status != OK }

// shown returns the instant of t, or nil if t is zero.
func shown(t time.Time) *Instant {
	if t.IsZero() {
		return nil
	}
	return new(instant(t))
}

// unknown returns the snapshot of a service that knows nothing of its checks.
func unknown(c Component, name, reason string) *Snapshot {
	return &Snapshot{At: time.Now(), Component: c, Status: unavailable, Reasons: []Reason{{name, reason}}}
}

// known is false while the service is starting, and in a snapshot that says stale. A service that is known to have no
// checks is healthy.
func (s *Snapshot) known() bool { return s.Healthy || len(s.Checks) > 0 }

// withheld stands for a reason that its reader must not see.
const withheld = "withheld: a token with the scope health shows it"

// WithoutReasons returns a copy that names no error, host or path: its reader learns what fails or warns, and since
// when.
func (s *Snapshot) WithoutReasons() *Snapshot {
	hide := func(text *string) {
		if *text != "" {
			*text = withheld
		}
	}
	hidden := *s
	hidden.Checks, hidden.Reasons = slices.Clone(s.Checks), slices.Clone(s.Reasons)
	for i := range hidden.Checks {
		c := &hidden.Checks[i]
		hide(&c.Error)
		hide(&c.Warning)
		if c.LastFailure != nil {
			c.LastFailure = &Failure{c.LastFailure.At, withheld}
		}
		c.Changes = slices.Clone(c.Changes)
		for j := range c.Changes {
			hide(&c.Changes[j].Error)
		}
	}
	for i := range hidden.Reasons {
		hide(&hidden.Reasons[i].Text)
	}
	return &hidden
}

// failures returns why, by the name of each failing check and of each reason.
func (s *Snapshot) failures() map[string]string {
	all := make(map[string]string)
	for _, c := range s.Checks {
		if c.failing() {
			all[c.Name] = c.Error
		}
	}
	for _, r := range s.Reasons {
		all[r.Name] = r.Text
	}
	return all
}

// Causes names each failing check with what its failure means, such as "bolt (restart)", and each reason, in their
// order. It repeats no error. It is nil if nothing fails.
func (s *Snapshot) Causes() (names []string) {
	for _, c := range s.Checks {
		if c.failing() {
			names = append(names, fmt.Sprintf("%s (%s)", c.Name, c.OnFailure))
		}
	}
	for _, r := range s.Reasons {
		names = append(names, r.Name)
	}
	return names
}

// readyWithout is whether the service is ready without what is excluded. If strict, a check that degrades counts too.
func (s *Snapshot) readyWithout(strict bool, exclude ...string) bool {
	fails := func(c CheckHistory) bool {
		return c.failing() && (strict || c.OnFailure != Degrade) && !slices.Contains(exclude, c.Name)
	}
	stands := func(r Reason) bool { return !slices.Contains(exclude, r.Name) }
	return !slices.ContainsFunc(s.Checks, fails) && !slices.ContainsFunc(s.Reasons, stands)
}

// Pending is the health of a service whose checks do not run yet.
type Pending struct {
	Component Component
	Reason    string
}

// Snapshot says that the service is starting, and why it has not started.
func (p Pending) Snapshot() *Snapshot { return unknown(p.Component, "starting", p.Reason) }
