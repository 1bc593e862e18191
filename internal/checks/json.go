package checks

import "time"

// HealthDocument is the JSON of /health and /ready: health-go's object with ready and checks beside it. It decodes as
// health-go's.
type HealthDocument struct {
	Status    string                `json:"status" enum:"OK,Partially Available,Unavailable"`
	Timestamp time.Time             `json:"timestamp" doc:"When this answer was made"`
	Failures  map[string]string     `json:"failures,omitempty" doc:"Failing checks and why"`
	Component Component             `json:"component"`
	Ready     bool                  `json:"ready" doc:"What /ready answers"`
	Checks    map[string]CheckState `json:"checks,omitempty"`
}

func (s *Snapshot) document(ready bool) HealthDocument {
	d := HealthDocument{Status: s.Status, Timestamp: s.At.UTC(), Failures: s.failures(), Component: s.Component,
		Ready: ready, Checks: make(map[string]CheckState, len(s.Checks))}
	for _, c := range s.Checks {
		d.Checks[c.Name] = c.CheckState
	}
	return d
}
