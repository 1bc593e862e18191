package checks

import (
	"strings"
	"testing"
	"time"
)

func TestOnlyRunsInARowReachAThreshold(t *testing.T) {
	for _, c := range []struct {
		failAfter, passAfter int
		runs                 string // p passes, f fails
		want                 Status
	}{
		{2, 1, "pf", OK},
		{2, 1, "pff", Failing},
		{2, 1, "pfpf", OK},
		{3, 1, "pffpff", OK},
		{3, 1, "pffpfff", Failing},
		{1, 2, "fp", Failing},
		{1, 2, "fpp", OK},
		{1, 2, "fpfp", Failing},
		{1, 2, "pfp", Failing},
		{1, 3, "fppfpp", Failing},
		{2, 2, "ppfppf", OK},
	} {
		got := result{status: Starting}
		for _, run := range c.runs {
			o := outcome{}
			if run == 'f' {
				o.failure = "ill"
			}
			got = Check{FailAfter: c.failAfter, PassAfter: c.passAfter}.after(got, o, time.Now())
		}
		failures, passes := len(c.runs)-len(strings.TrimRight(c.runs, "f")), len(c.runs)-len(strings.TrimRight(c.runs, "p"))
		if got.status != c.want || got.failuresInARow != failures || got.passesInARow != passes {
			t.Errorf("fail_after %d, pass_after %d, runs %s: %s with %d failures and %d passes in a row; want %s with %d and %d",
				c.failAfter, c.passAfter, c.runs, got.status, got.failuresInARow, got.passesInARow, c.want, failures, passes)
		}
	}
}

func TestJitterOnlyShortensAndSpreads(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 1000 {
		d := jitter(time.Hour)
		seen[d] = true
		if d > time.Hour || d < 54*time.Minute {
			t.Fatalf("jitter of 1h is %s, want 54m to 1h", d)
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d different intervals of 1000: replicas ask together", len(seen))
	}
}
