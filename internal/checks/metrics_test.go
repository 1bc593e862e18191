package checks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// scrape returns all values by name and labels; of a histogram its count.
func scrape(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	harness.Must(t, err)
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetricsTellWhatIsKnownAndRunNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		runs := 0
		reg := prometheus.NewRegistry()
		a := check("a", checks.Unroute, sick.run)
		r := byHand(t, a, check("b", checks.Degrade, func(context.Context) error { runs++; return certificate{1} }))
		r.Register(reg)
		for name, want := range map[string]float64{"accountservice_check_healthy a unroute": 0, "accountservice_ready": 0,
			"accountservice_check_changes_total a failing": 0, "accountservice_check_last_success_timestamp_seconds a": 0} {
			if got, is := scrape(t, reg)[name]; !is || got != want {
				t.Errorf("before the first run: %s is %v, want %v", name, got, want)
			}
		}
		r.ProbeCheck(t.Context(), 1)
		probeAll(t, r, &sick, "pff")
		r.Maintain("tests", time.Hour)
		time.Sleep(3 * time.Second)
		passed := float64(time.Now().Add(-5*time.Second).UnixMilli()) / 1000
		for range 100 {
			scrape(t, reg)
		}
		got := scrape(t, reg)
		for name, want := range map[string]float64{
			"accountservice_check_healthy a unroute":                0,
			"accountservice_check_healthy b degrade":                1,
			"accountservice_check_warning a":                        0,
			"accountservice_check_warning b":                        1,
			"accountservice_check_duration_seconds a":               3,
			"accountservice_check_duration_seconds b":               1,
			"accountservice_check_changes_total a ok":               1,
			"accountservice_check_changes_total a failing":          1,
			"accountservice_check_consecutive_failures a":           2,
			"accountservice_check_last_success_timestamp_seconds a": passed,
			"accountservice_healthy":                                1,
			"accountservice_ready":                                  0,
			"accountservice_maintenance":                            1,
			"accountservice_health_age_seconds":                     3,
		} {
			if v, is := got[name]; !is || v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if runs != 1 {
			t.Errorf("%d runs, want the one that was ordered", runs)
		}
	})
}

// again is the error of a run that asked nothing.
type again struct{ error }

func (again) Skipped() {}

func TestMetricsFollowEachRun(t *testing.T) {
	var sick switchable
	reg := prometheus.NewRegistry()
	r := byHand(t, check("a", checks.Restart, sick.run))
	r.Register(reg)
	ended := errors.New("the certificate has ended")
	for i, c := range []struct {
		err                         error
		warning, measured, failures float64
	}{{certificate{1}, 1, 1, 0}, {ended, 1, 2, 1}, {ended, 0, 3, 2}, {again{ended}, 0, 3, 3}, {certificate{1}, 1, 4, 0}, {nil, 0, 5, 0}} {
		sick.set(c.err)
		r.ProbeCheck(t.Context(), 0)
		r.Publish()
		if text := r.Snapshot().Checks[0].Warning; (text != "") != (c.warning > 0) {
			t.Errorf("after run %d, %v: the warning %q is shown, want the one that is counted", i, c.err, text)
		}
		got := scrape(t, reg)
		for name, want := range map[string]float64{"warning": c.warning, "duration_seconds": c.measured, "consecutive_failures": c.failures} {
			if v := got["accountservice_check_"+name+" a"]; v != want {
				t.Errorf("after run %d, %v: %s is %v, want %v", i, c.err, name, v, want)
			}
		}
	}
}
