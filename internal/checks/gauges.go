package checks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds the metrics of the checks to reg. A scrape reads what is known, and runs no check.
func (r *Runner) Register(reg prometheus.Registerer) {
	for _, p := range r.probers {
		for _, to := range []Status{OK, Failing} {
			r.metrics.changes.WithLabelValues(p.check.Name, string(to)) // 0 until it happens: rates need the first step
		}
	}
	reg.MustRegister(r.metrics.duration, r.metrics.changes, gauges{r})
}

// gauges is the state of a Runner, read when it is scraped.
type gauges struct{ *Runner }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("accountservice_"+name, help, labels, nil)
}

var (
	checkHealthy = describe("check_healthy", "1 if the check counts as healthy, 0 while it is failing, stale or starting.",
		"check", "on_failure")
	checkWarning     = describe("check_warning", "1 while the check is healthy and warns.", "check")
	checkLastSuccess = describe("check_last_success_timestamp_seconds",
		"When a run of the check passed last; 0 if none did.", "check")
	checkFailures  = describe("check_consecutive_failures", "Runs of the check that failed in a row.", "check")
	serviceHealthy = describe("healthy", "1 if /health answers 200.")
	serviceReady   = describe("ready", "1 if /ready answers 200.")
	snapshotAge    = describe("health_age_seconds", "Age of the published health answer; above 5 it counts as stale.")
	inMaintenance  = describe("maintenance", "1 while an operator has sent the traffic away.")
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(g, to) }

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := time.Now()
	for _, p := range g.probers {
		name, r := p.check.Name, *p.result.Load()
		status, _ := p.check.verdict(r, now)
		set(checkHealthy, one(status == OK), name, string(p.check.OnFailure))
		set(checkWarning, one(status == OK && r.warning != ""), name)
		set(checkLastSuccess, float64(max(0, r.lastSuccess.UnixMilli()))/1000, name) // a zero time is below 0
		set(checkFailures, float64(r.failuresInARow), name)
	}
	s := g.Snapshot()
	set(serviceHealthy, one(s.Healthy))
	set(serviceReady, one(s.Ready))
	set(snapshotAge, now.Sub(g.published.Load().At).Seconds())
	_, on := g.Maintenance()
	set(inMaintenance, one(on))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
