package checks

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	health "github.com/hellofresh/health-go/v5"
)

// metrics is the events of all checks, which are counted when they happen.
type metrics struct {
	duration *prometheus.HistogramVec
	changes  *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "accountservice_check_duration_seconds", Help: "Time that runs of the check took; a run that hangs counts once, at its deadline, and one that asks nothing not at all.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"check"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "accountservice_check_changes_total", Help: "Changes of the check to this status.",
		}, []string{"check", "to"}),
	}
}

func (m *metrics) ran(check string, took time.Duration) {
	m.duration.WithLabelValues(check).Observe(took.Seconds())
}

func (m *metrics) turned(check string, to Status) {
	m.changes.WithLabelValues(check, string(to)).Inc()
}

// Register adds the metrics of the checks to reg. A scrape reads what is known,
// and runs no check.
func (r *Runner) Register(reg prometheus.Registerer) error {
	for _, p := range r.probers {
		for _, to := range []Status{OK, Failing} {
			r.metrics.changes.WithLabelValues(p.check.Name, string(to)) // 0 until it happens: rates need the first step
		}
	}
	for _, c := range []prometheus.Collector{r.metrics.duration, r.metrics.changes, gauges{r}} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Trace gives health-go a tracer: each answer that is made is a span, health.Measure,
// with one inside for each check. It must be called before Run.
func (r *Runner) Trace(provider trace.TracerProvider) error {
	return health.WithTracerProvider(provider, "accountservice/checks")(r.health)
}

// gauges is the state of a Runner, read when it is scraped.
type gauges struct{ *Runner }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("accountservice_"+name, help, labels, nil)
}

var (
	checkHealthy     = describe("check_healthy", "1 if the check counts as healthy, 0 while it is failing, stale or starting.", "check", "on_failure")
	checkWarning     = describe("check_warning", "1 while the check is healthy and warns.", "check")
	checkLastSuccess = describe("check_last_success_timestamp_seconds", "When a run of the check passed last; 0 if none did.", "check")
	checkFailures    = describe("check_consecutive_failures", "Runs of the check that failed in a row.", "check")
	serviceHealthy   = describe("healthy", "1 if /health answers 200.")
	serviceReady     = describe("ready", "1 if /ready answers 200.")
	reportAge        = describe("health_age_seconds", "Age of the published health answer; above 5 it counts as stale.")
	inMaintenance    = describe("maintenance", "1 while an operator has sent the traffic away.")
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{checkHealthy, checkWarning, checkLastSuccess, checkFailures,
		serviceHealthy, serviceReady, reportAge, inMaintenance} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := time.Now()
	for _, p := range g.probers {
		r, name := *p.result.Load(), p.check.Name
		fine := p.check.verdict(r, now) == nil
		set(checkHealthy, one(fine), name, string(p.check.OnFailure))
		set(checkWarning, one(fine && r.Warning != ""), name)
		last := 0.0
		if !r.LastSuccess.IsZero() {
			last = float64(r.LastSuccess.UnixMilli()) / 1000
		}
		set(checkLastSuccess, last, name)
		set(checkFailures, float64(r.ConsecutiveFailures), name)
	}
	report := g.Report()
	set(serviceHealthy, one(report.HealthStatus == http.StatusOK))
	set(serviceReady, one(report.ReadyStatus == http.StatusOK))
	set(reportAge, now.Sub(g.report.Load().At).Seconds())
	_, on := g.Maintenance()
	set(inMaintenance, one(on))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
