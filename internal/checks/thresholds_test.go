package checks_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
)

func TestOnlyRunsInARowReachAThreshold(t *testing.T) {
	for _, c := range []struct {
		failAfter, passAfter int
		runs                 string // p passes, f fails
		want                 checks.Status
	}{
		{2, 1, "f", checks.Failing}, // the very first counts at once
		{2, 1, "pf", checks.OK},
		{2, 1, "pff", checks.Failing},
		{2, 1, "pfpf", checks.OK},
		{3, 1, "pffpff", checks.OK},
		{3, 1, "pffpfff", checks.Failing},
		{1, 2, "p", checks.Starting},
		{1, 2, "pp", checks.OK},
		{1, 2, "fp", checks.Failing},
		{1, 2, "fpp", checks.OK},
		{1, 2, "fpfp", checks.Failing},
		{1, 2, "pfp", checks.Failing},
		{1, 3, "fppfpp", checks.Failing},
		{1, 3, "fppp", checks.OK},
		{2, 2, "ppfppf", checks.OK},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sick switchable
			a := check("a", checks.Restart, sick.run)
			a.FailAfter, a.PassAfter = c.failAfter, c.passAfter
			r := byHand(t, a)
			probeAll(t, r, &sick, c.runs)
			got, failures := r.Snapshot().Checks[0], len(c.runs)-len(strings.TrimRight(c.runs, "f"))
			if got.Status != c.want || got.ConsecutiveFailures != failures {
				t.Errorf("fail_after %d, pass_after %d, runs %s: %s with %d failures in a row; want %s with %d",
					c.failAfter, c.passAfter, c.runs, got.Status, got.ConsecutiveFailures, c.want, failures)
			}
		})
	}
}

// Else replicas would ask a shared dependency together.
func TestIntervalsAreOnlyShortenedAndSpread(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 1000 {
		d := checks.Jitter(time.Hour)
		seen[d] = true
		if d > time.Hour || d < 54*time.Minute {
			t.Fatalf("an interval of 1h is %s, want 54m to 1h", d)
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d different intervals of 1000", len(seen))
	}
}
