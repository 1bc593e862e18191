package checks

import (
	"time"

	health "github.com/hellofresh/health-go/v5"
)

// answer is health-go's object with our additions beside it. It decodes as
// health-go's.
type answer struct {
	health.Check
	Ready  bool                   `json:"ready"`
	Checks map[string]checkAnswer `json:"checks,omitempty"`
}

// checkAnswer is one check in the JSON.
type checkAnswer struct {
	Status              Status      `json:"status"`
	OnFailure           Consequence `json:"on_failure"`
	LatencyMS           float64     `json:"latency_ms"`
	LastSuccess         *time.Time  `json:"last_success,omitempty"`
	ConsecutiveFailures int         `json:"consecutive_failures"`
	Since               time.Time   `json:"since"`
	Interval            string      `json:"interval"`
	Timeout             string      `json:"timeout"`
	Error               string      `json:"error,omitempty"`
	Warning             string      `json:"warning,omitempty"`
}

// checkHistory is one check by itself.
type checkHistory struct {
	checkAnswer
	LastFailure *failureAnswer `json:"last_failure,omitempty"`
	Changes     []changeAnswer `json:"changes"`
}

type failureAnswer struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

type changeAnswer struct {
	At       time.Time `json:"at"`
	From     Status    `json:"from"`
	To       Status    `json:"to"`
	Failures int       `json:"failures"`
	Lasted   string    `json:"lasted"`
	Error    string    `json:"error,omitempty"`
}

func (d draft) inJSON(ready bool) []byte {
	a := answer{Check: d.Check, Ready: ready, Checks: make(map[string]checkAnswer, len(d.checks))}
	for i, c := range d.checks {
		a.Checks[c.Name] = c.answer(d.results[i], d.at)
	}
	return marshal(a)
}

func (c Check) answer(r Result, now time.Time) checkAnswer {
	a := checkAnswer{
		Status:              r.counts(),
		OnFailure:           c.OnFailure,
		LatencyMS:           milliseconds(r.Latency),
		ConsecutiveFailures: r.ConsecutiveFailures,
		Since:               instant(r.Since),
		Interval:            c.Interval.String(),
		Timeout:             c.Timeout.String(),
		Warning:             r.Warning,
	}
	if !r.LastSuccess.IsZero() {
		at := instant(r.LastSuccess)
		a.LastSuccess = &at
	}
	if err := c.verdict(r, now); err != nil {
		a.Error = err.Error()
		if r.Status == OK {
			a.Status = Failing // stale
		}
	} else if r.Err != nil {
		a.Error = r.Err.Error() // below the threshold, and worth seeing
	}
	return a
}

func (c Check) history(r Result, now time.Time) checkHistory {
	h := checkHistory{checkAnswer: c.answer(r, now), Changes: make([]changeAnswer, len(r.Changes))}
	if r.LastFailure.Err != nil {
		h.LastFailure = &failureAnswer{instant(r.LastFailure.At), r.LastFailure.Err.Error()}
	}
	for i, change := range r.Changes {
		h.Changes[i] = changeAnswer{At: instant(change.At), From: change.From, To: change.To,
			Failures: change.Failures, Lasted: change.Lasted.Round(time.Millisecond).String()}
		if change.Err != nil {
			h.Changes[i].Error = change.Err.Error()
		}
	}
	return h
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
