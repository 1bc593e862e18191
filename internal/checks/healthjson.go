package checks

import (
	"maps"
	"slices"
	"strings"
)

// HealthJSONDocument is the object of draft-inadarei-api-health-check-06. pass and warn go with 200, fail with 503.
type HealthJSONDocument struct {
	Status      string                   `json:"status" enum:"pass,warn,fail"`
	Version     string                   `json:"version,omitempty"`
	Description string                   `json:"description,omitempty"`
	Output      string                   `json:"output,omitempty"`
	Checks      map[string][]Measurement `json:"checks"`
}

// Measurement is one check in it.
type Measurement struct {
	ComponentType string   `json:"componentType"`
	ObservedValue *float64 `json:"observedValue,omitempty" doc:"Latency of the last run"`
	ObservedUnit  string   `json:"observedUnit,omitempty"`
	Status        string   `json:"status" enum:"pass,warn,fail"`
	Time          *Instant `json:"time,omitempty" format:"date-time" doc:"End of the last run"`
	Output        string   `json:"output,omitempty"`
}

const (
	passes = "pass"
	warns  = "warn"
	fails  = "fail"
)

// healthJSON describes these checks, and the other reasons not to be ready.
func (s *Snapshot) healthJSON(ok bool, checks []CheckHistory, reasons []Reason) HealthJSONDocument {
	d := HealthJSONDocument{Status: passes, Version: s.Component.Version, Description: s.Component.Name,
		Checks: make(map[string][]Measurement, len(checks)+len(reasons))}
	for _, c := range checks {
		d.Checks[c.Name+":responseTime"] = []Measurement{c.measurement()}
	}
	for _, r := range reasons {
		d.Checks[r.Name] = []Measurement{{ComponentType: "component", Status: fails, Output: r.Text}}
	}
	var outputs []string
	for _, name := range slices.Sorted(maps.Keys(d.Checks)) {
		if m := d.Checks[name][0]; m.Status != passes {
			d.Status = warns
			outputs = append(outputs, strings.TrimSuffix(name, ":responseTime")+": "+m.Output)
		}
	}
	d.Output = strings.Join(outputs, "; ")
	if !ok {
		d.Status = fails
	}
	return d
}

func (c CheckState) measurement() Measurement {
	m := Measurement{ComponentType: "component", Status: passes}
	if c.Finished != nil {
		m.ObservedValue, m.ObservedUnit, m.Time = &c.LatencyMS, "ms", c.Finished
	}
	switch {
	case c.Status == Failing:
		m.Status, m.Output = fails, c.Error
	case c.Error != "": // starting, or below the threshold
		m.Status, m.Output = warns, c.Error
	case c.Warning != "":
		m.Status, m.Output = warns, c.Warning
	}
	return m
}
