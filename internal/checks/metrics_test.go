package checks_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
)

// scrape returns all values by name and labels; of a histogram its count.
func scrape(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
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
		if err := r.Register(reg); err != nil {
			t.Fatal(err)
		}
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

func TestFailingCheckHasNoWarning(t *testing.T) {
	var sick switchable
	sick.set(certificate{1})
	reg := prometheus.NewRegistry()
	a := check("a", checks.Restart, sick.run)
	a.FailAfter = 1
	r := byHand(t, a)
	if err := r.Register(reg); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want float64
	}{{certificate{1}, 1}, {errors.New("the certificate has ended"), 0}, {certificate{1}, 1}, {nil, 0}} {
		sick.set(c.err)
		r.ProbeCheck(t.Context(), 0)
		if got := scrape(t, reg)["accountservice_check_warning a"]; got != c.want {
			t.Errorf("after %v: %v, want %v", c.err, got, c.want)
		}
	}
}

// A hanging run is one event, however often it is reported.
func TestHungRunIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		reg := prometheus.NewRegistry()
		r := start(t, slog.New(slog.DiscardHandler), check("a", checks.Restart, func(context.Context) error { <-release; return nil }))
		if err := r.Register(reg); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		got := scrape(t, reg)
		if got["accountservice_check_duration_seconds a"] != 1 || got["accountservice_check_consecutive_failures a"] < 20 {
			t.Errorf("got %v; want 1 run, and a failure each interval", got)
		}
		close(release)
	})
}

// again is the error of a run that asked nothing.
type again struct{ error }

func (again) Unasked() {}

func TestARunThatAsksNothingIsNoMeasurement(t *testing.T) {
	var sick switchable
	reg := prometheus.NewRegistry()
	r := byHand(t, check("a", checks.Restart, sick.run))
	if err := r.Register(reg); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{errors.New("refused"), again{errors.New("refused")}, again{errors.New("refused")}} {
		sick.set(err)
		r.ProbeCheck(t.Context(), 0)
	}
	got := scrape(t, reg)
	if n, failures := got["accountservice_check_duration_seconds a"], got["accountservice_check_consecutive_failures a"]; n != 1 || failures != 3 {
		t.Errorf("%v measurements and %v failures, want 1 and 3", n, failures)
	}
}
