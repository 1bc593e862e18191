package checks

import "github.com/prometheus/client_golang/prometheus"

// metrics counts the events of all checks when they happen.
type metrics struct {
	duration *prometheus.HistogramVec
	changes  *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "accountservice_check_duration_seconds",
			Help: "Time that runs of the check took; a run that hangs counts once, at its deadline, " +
				"and one that asks nothing not at all.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"check"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "accountservice_check_changes_total",
			Help: "Changes of the check to this status.",
		}, []string{"check", "to"}),
	}
}
