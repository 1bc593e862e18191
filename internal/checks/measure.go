package checks

import (
	"context"
	"errors"
	"time"

	health "github.com/hellofresh/health-go/v5"
)

// unavailable is health-go's word for a service that can't do its work.
const unavailable = string(health.StatusUnavailable)

// measurer asks health-go for the status of the whole service. It registers one function for each name, which only
// loads the failure that measure was given.
type measurer struct {
	health   *health.Health
	failures map[string]string // by name, while measure runs
}

func newMeasurer() (*measurer, error) {
	h, err := health.New()
	return &measurer{health: h}, err
}

// add registers a name, which must be new and not empty.
func (m *measurer) add(name string, c Consequence) error {
	return m.health.Register(health.Config{
		Name:      name,
		Timeout:   time.Hour, // the prober alone decides when time is up
		SkipOnErr: c != Restart,
		Check: func(context.Context) error {
			if why, failing := m.failures[name]; failing {
				return errors.New(why)
			}
			return nil
		},
	})
}

// measure returns health-go's word for a service with these failures. One call must end before the next begins.
func (m *measurer) measure(failures map[string]string) string {
	m.failures = failures
	return string(m.health.Measure(context.Background()).Status)
}
