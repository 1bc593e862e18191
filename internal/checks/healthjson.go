package checks

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// healthCheck is draft-inadarei-api-health-check-06: pass and warn go with 200,
// fail with 503.
type healthCheck struct {
	Status      string                   `json:"status"`
	Version     string                   `json:"version,omitempty"`
	Description string                   `json:"description,omitempty"`
	Output      string                   `json:"output,omitempty"`
	Checks      map[string][]measurement `json:"checks"`
}

// measurement is one check in it.
type measurement struct {
	ComponentType string     `json:"componentType"`
	ObservedValue *float64   `json:"observedValue,omitempty"` // latency of the last run
	ObservedUnit  string     `json:"observedUnit,omitempty"`
	Status        string     `json:"status"`
	Time          *time.Time `json:"time,omitempty"` // of the last run's end
	Output        string     `json:"output,omitempty"`
}

const (
	passes = "pass"
	warns  = "warn"
	fails  = "fail"
)

func (d draft) inHealthJSON(fine bool) []byte {
	all := make(map[string][]measurement, len(d.checks)+len(d.Failures))
	for i, c := range d.checks {
		all[c.Name+":responseTime"] = []measurement{c.measured(d.results[i], d.at)}
	}
	for name, reason := range d.others() {
		all[name] = []measurement{{ComponentType: "component", Status: fails, Output: reason}}
	}
	return marshal(d.healthCheck(fine, all))
}

// healthCheck is the object around these measurements.
func (d draft) healthCheck(fine bool, checks map[string][]measurement) healthCheck {
	h := healthCheck{Status: passes, Version: d.Component.Version, Description: d.Component.Name, Checks: checks}
	var outputs []string
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if m := checks[name][0]; m.Status != passes {
			h.Status = warns
			outputs = append(outputs, strings.TrimSuffix(name, ":responseTime")+": "+m.Output)
		}
	}
	h.Output = strings.Join(outputs, "; ")
	if !fine {
		h.Status = fails
	}
	return h
}

func (c Check) measured(r Result, now time.Time) measurement {
	m := measurement{ComponentType: "component", Status: passes}
	if !r.Finished.IsZero() {
		latency, at := milliseconds(r.Latency), instant(r.Finished)
		m.ObservedValue, m.ObservedUnit, m.Time = &latency, "ms", &at
	}
	switch a := c.answer(r, now); {
	case a.Status == Failing:
		m.Status, m.Output = fails, a.Error
	case a.Error != "": // starting, or below the threshold
		m.Status, m.Output = warns, a.Error
	case a.Warning != "":
		m.Status, m.Output = warns, a.Warning
	}
	return m
}

// others is the failures that are no check's.
func (d draft) others() map[string]string {
	others := maps.Clone(d.Failures)
	for _, c := range d.checks {
		delete(others, c.Name)
	}
	return others
}
