package checks

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	health "github.com/hellofresh/health-go/v5"
)

// Component names the service in its answers.
type Component struct {
	Name    string
	Version string
}

// Form is what an answer is written in.
type Form int

const (
	JSON       Form = iota // health-go's own object and what we add
	HealthJSON             // draft-inadarei-api-health-check-06
	Text                   // one line a check, for people
)

// Answer is what a request gets.
type Answer struct {
	Status int // HTTP: 200 or 503
	Body   []byte
}

// Report is one published answer, in all its forms and for all that may be
// asked of it, never changed afterwards.
type Report struct {
	At time.Time
	// HealthStatus and ReadyStatus are HTTP status codes, 200 or 503.
	HealthStatus, ReadyStatus int
	// Body is the JSON of /health and /ready.
	Body []byte
	// Checks answers /health/checks/{name}. A service that is starting, or whose
	// answer is stale, has none.
	Checks map[string]CheckReport

	failing []failing
	fit     bool // ready, but for orders

	json, text [2][]byte // not ready, ready
	healthJSON [2][]byte // for 503, for 200
}

// CheckReport is the published answer of one check.
type CheckReport struct {
	Status int // HTTP: 200, or 503 while it fails
	Body   []byte

	healthJSON, text []byte
}

// In is the answer in a form.
func (c CheckReport) In(form Form) Answer {
	body := c.Body
	switch form {
	case HealthJSON:
		body = c.healthJSON
	case Text:
		body = c.text
	}
	return Answer{c.Status, body}
}

// failing is a check that fails, or an order that is given.
type failing struct {
	name    string
	on      Consequence
	ordered bool
}

// Health answers /health. strict makes any failing check 503, but not an
// order: draining and maintenance must not get the container killed.
func (r *Report) Health(form Form, strict bool) Answer {
	status := r.HealthStatus
	if strict && slices.ContainsFunc(r.failing, func(f failing) bool { return !f.ordered }) {
		status = http.StatusServiceUnavailable
	}
	return r.answer(form, status, r.ReadyStatus == http.StatusOK)
}

// ErrUnknownCheck is that a name is none of a check.
var ErrUnknownCheck = errors.New("no check of this name")

// Ready answers /ready. strict makes any failing check 503, and whatever is
// excluded, a check or an order, is left out of the verdict. A name that is
// none is ErrUnknownCheck, once the names are known.
func (r *Report) Ready(form Form, strict bool, exclude []string) (Answer, error) {
	if len(r.Checks) == 0 && r.ReadyStatus != http.StatusOK && len(r.failing) == 0 { // starting, or stale
		return r.answer(form, r.ReadyStatus, false), nil
	}
	for _, name := range exclude {
		if _, known := r.Checks[name]; !known && name != drainName && name != maintenanceName {
			return Answer{}, ErrUnknownCheck
		}
	}
	for _, f := range r.failing {
		if (f.on != Degrade || strict) && !slices.Contains(exclude, f.name) {
			return r.answer(form, http.StatusServiceUnavailable, false), nil
		}
	}
	return r.answer(form, http.StatusOK, true), nil
}

func (r *Report) answer(form Form, status int, ready bool) Answer {
	which := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	switch form {
	case HealthJSON:
		return Answer{status, r.healthJSON[which(status == http.StatusOK)]}
	case Text:
		return Answer{status, r.text[which(ready)]}
	}
	return Answer{status, r.json[which(ready)]}
}

// draft is what a report is made of.
type draft struct {
	health.Check
	round
	checks []Check
	earned bool // what may end this container or its traffic has been asked
}

func (d draft) report() *Report {
	r := &Report{At: d.Timestamp, HealthStatus: http.StatusOK, ReadyStatus: http.StatusOK, fit: d.earned,
		Checks: make(map[string]CheckReport, len(d.checks))}
	d.Timestamp = d.Timestamp.UTC()
	if !d.earned {
		d.Status = health.StatusUnavailable
	}
	if d.Status == health.StatusUnavailable {
		r.HealthStatus = http.StatusServiceUnavailable
	}
	for i, c := range d.checks {
		if c.verdict(d.results[i], d.at) != nil {
			r.failing = append(r.failing, failing{name: c.Name, on: c.OnFailure})
			r.fit = r.fit && c.OnFailure == Degrade
		}
		r.Checks[c.Name] = d.one(i)
	}
	ready := r.fit
	for _, o := range d.orders {
		if o.err != nil {
			r.failing = append(r.failing, failing{o.name, Unroute, true})
			ready = false
		}
	}
	if !ready {
		r.ReadyStatus = http.StatusServiceUnavailable
	}
	for i := range 2 {
		r.json[i] = d.inJSON(i == 1)
		r.text[i] = d.inText(i == 1)
		r.healthJSON[i] = d.inHealthJSON(i == 1)
	}
	r.Body = r.answer(JSON, 0, ready).Body
	return r
}

// one is the report of the check at i.
func (d draft) one(i int) CheckReport {
	c, result := d.checks[i], d.results[i]
	r := CheckReport{Status: http.StatusOK}
	if c.verdict(result, d.at) != nil {
		r.Status = http.StatusServiceUnavailable
	}
	r.Body = marshal(c.history(result, d.at))
	r.healthJSON = marshal(d.healthCheck(r.Status == http.StatusOK, map[string][]measurement{c.Name + ":responseTime": {c.measured(result, d.at)}}))
	r.text = []byte(c.line(result, d.at, len(c.Name)) + result.lines())
	return r
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times always encode
	}
	return append(b, '\n')
}

// unavailable is the report of a service that can say nothing of its checks.
func unavailable(c Component, name, reason string, now time.Time) *Report {
	return draft{Check: health.Check{
		Status:    health.StatusUnavailable,
		Timestamp: now,
		Failures:  map[string]string{name: reason},
		Component: health.Component(c),
	}}.report()
}

// Pending is the health of a service whose checks do not run yet.
type Pending struct {
	Component Component
	Reason    string
}

// Report says that the service is starting, and why it has not started.
func (p Pending) Report() *Report { return unavailable(p.Component, "starting", p.Reason, time.Now()) }
