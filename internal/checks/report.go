package checks

import (
	"encoding/json"
	"net/http"
	"time"

	health "github.com/hellofresh/health-go/v5"
)

// Component names the service in its answers.
type Component struct {
	Name    string
	Version string
}

// Report is one published answer, never changed afterwards.
type Report struct {
	At time.Time
	// HealthStatus and ReadyStatus are HTTP status codes, 200 or 503.
	HealthStatus, ReadyStatus int
	// Body answers /health and /ready: health-go's own object and what we add.
	Body []byte
	// Checks answers /health/checks/{name}.
	Checks map[string]CheckReport
}

// CheckReport is the published answer of one check.
type CheckReport struct {
	Status int // HTTP: 200, or 503 while it fails
	Body   []byte
}

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
}

func (c Check) answer(r Result, now time.Time) checkAnswer {
	a := checkAnswer{
		Status:              r.Status,
		OnFailure:           c.OnFailure,
		LatencyMS:           float64(r.Latency.Microseconds()) / 1000,
		ConsecutiveFailures: r.ConsecutiveFailures,
		Since:               r.Since.UTC().Truncate(time.Millisecond),
		Interval:            c.Interval.String(),
		Timeout:             c.Timeout.String(),
	}
	if !r.LastSuccess.IsZero() {
		at := r.LastSuccess.UTC().Truncate(time.Millisecond)
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

// unavailable is the report of a service that can say nothing of its checks.
func unavailable(c Component, name, reason string, now time.Time) *Report {
	return newReport(answer{Check: health.Check{
		Status:    health.StatusUnavailable,
		Timestamp: now,
		Failures:  map[string]string{name: reason},
		Component: health.Component(c),
	}})
}

func newReport(a answer) *Report {
	r := &Report{At: a.Timestamp, HealthStatus: http.StatusOK, ReadyStatus: http.StatusOK, Checks: make(map[string]CheckReport, len(a.Checks))}
	a.Timestamp = a.Timestamp.UTC()
	if a.Status == health.StatusUnavailable {
		r.HealthStatus = http.StatusServiceUnavailable
	}
	if !a.Ready {
		r.ReadyStatus = http.StatusServiceUnavailable
	}
	r.Body = marshal(a)
	for name, check := range a.Checks {
		status := http.StatusOK
		if check.Status != OK && check.Error != "" {
			status = http.StatusServiceUnavailable
		}
		r.Checks[name] = CheckReport{Status: status, Body: marshal(check)}
	}
	return r
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times always encode
	}
	return append(b, '\n')
}

// Pending is the health of a service whose checks do not run yet.
type Pending struct {
	Component Component
	Reason    string
}

// Report says that the service is starting, and why it has not started.
func (p Pending) Report() *Report { return unavailable(p.Component, "starting", p.Reason, time.Now()) }
