package checks

import (
	"encoding/json"
	"errors"
	"slices"
)

// Form is what an answer is written in.
type Form int

const (
	JSON       Form = iota // health-go's object with additions
	HealthJSON             // draft-inadarei-api-health-check-06
	Text                   // for people: one line for each check
)

// Answer is what a request gets.
type Answer struct {
	OK   bool // 200, else 503
	Body []byte
}

// ErrUnknownCheck means that there is no check of this name.
var ErrUnknownCheck = errors.New("no check of this name")

// AnswerHealth answers /health. If strict, any failing check makes it 503. An order never does: draining and
// maintenance must not get the container killed.
func (s *Snapshot) AnswerHealth(form Form, strict bool) Answer {
	return s.answer(form, s.Healthy && !(strict && slices.ContainsFunc(s.Checks, CheckHistory.failing)), s.Ready)
}

// AnswerReady answers /ready. If strict, any failing check makes it 503. The excluded names, of checks and of orders,
// are left out of the verdict. A name that does not exist is ErrUnknownCheck, once the names are known.
func (s *Snapshot) AnswerReady(form Form, strict bool, exclude []string) (Answer, error) {
	if !s.known() {
		return s.answer(form, false, false), nil
	}
	for _, name := range exclude {
		if name != drainName && name != maintenanceName && s.find(name) < 0 {
			return Answer{}, ErrUnknownCheck
		}
	}
	ready := s.readyWithout(strict, exclude...)
	return s.answer(form, ready, ready), nil
}

// AnswerCheck answers /health/checks/{name}, or returns ErrUnknownCheck. While the checks are not known it answers as
// /health.
func (s *Snapshot) AnswerCheck(form Form, name string) (Answer, error) {
	if !s.known() {
		return s.answer(form, false, false), nil
	}
	i := s.find(name)
	if i < 0 {
		return Answer{}, ErrUnknownCheck
	}
	c := s.Checks[i]
	answer := Answer{OK: !c.failing()}
	switch form {
	case HealthJSON:
		answer.Body = marshal(s.healthJSON(answer.OK, s.Checks[i:i+1], nil))
	case Text:
		answer.Body = c.text(s.At)
	default:
		answer.Body = marshal(c)
	}
	return answer, nil
}

func (s *Snapshot) find(name string) int {
	return slices.IndexFunc(s.Checks, func(c CheckHistory) bool { return c.Name == name })
}

func (s *Snapshot) answer(form Form, ok, ready bool) Answer {
	answer := Answer{OK: ok}
	switch form {
	case HealthJSON:
		answer.Body = marshal(s.healthJSON(ok, s.Checks, s.Reasons))
	case Text:
		answer.Body = s.text(ready)
	default:
		answer.Body = marshal(s.document(ready))
	}
	return answer
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times always encode
	}
	return append(b, '\n')
}

// HealthDocument is the JSON of /health and /ready: health-go's object with ready and checks beside it. It decodes as
// health-go's.
type HealthDocument struct {
	Status    string                `json:"status" enum:"OK,Partially Available,Unavailable"`
	Timestamp Instant               `json:"timestamp" format:"date-time" doc:"When this answer was made"`
	Failures  map[string]string     `json:"failures,omitempty" doc:"Failing checks and why"`
	Component Component             `json:"component"`
	Ready     bool                  `json:"ready" doc:"What /ready answers"`
	Checks    map[string]CheckState `json:"checks,omitempty"`
}

func (s *Snapshot) document(ready bool) HealthDocument {
	d := HealthDocument{Status: s.Status, Timestamp: instant(s.At), Failures: s.failures(), Component: s.Component,
		Ready: ready, Checks: make(map[string]CheckState, len(s.Checks))}
	for _, c := range s.Checks {
		d.Checks[c.Name] = c.CheckState
	}
	return d
}
