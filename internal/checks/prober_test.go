package checks_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// byHand returns a Runner that probes and publishes only as the test tells it.
func byHand(t *testing.T, list ...checks.Check) *checks.Runner {
	t.Helper()
	r, err := checks.New(me, slog.New(slog.DiscardHandler), list...)
	harness.Must(t, err)
	return r
}

// Without debug.SetPanicOnFault this fault ends the process.
func TestFaultOnMappedMemoryIsAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapped")
	harness.Must(t, os.WriteFile(path, make([]byte, 2*os.Getpagesize()), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, err)
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 2*os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	harness.Must(t, err)
	defer unix.Munmap(mapped)
	r := byHand(t, check("a", checks.Restart, func(context.Context) error {
		if mapped[os.Getpagesize()] != 0 {
			return errors.New("not what was written")
		}
		return nil
	}))
	r.ProbeAll(t.Context())
	if got := r.Snapshot().Checks[0]; got.Status != checks.OK {
		t.Fatalf("whole file: %s, %s; want ok", got.Status, got.Error)
	}
	harness.Must(t, os.Truncate(path, 0))
	r.ProbeAll(t.Context())
	if got := r.Snapshot().Checks[0]; !strings.Contains(got.Error, "the check panicked") || got.ConsecutiveFailures != 1 {
		t.Errorf("cut file: %q and %d failures; want a panic's words and 1", got.Error, got.ConsecutiveFailures)
	}
}

func TestErrorIsShownAsOneShortPrintableLine(t *testing.T) {
	for name, c := range map[string]struct{ err, want string }{
		"plain":              {"connect: refused", "connect: refused"},
		"none":               {"", "an error without a text"},
		"blanks":             {" \n\x1b", "an error without a text"},
		"other languages":    {"диск 磁盘 é “full”", "диск 磁盘 é “full”"},
		"lines":              {"first\nsecond\r\nthird\tend", "first; second; third end"},
		"empty lines":        {"\nfirst\n\n \nsecond\n", "first; second"},
		"Unicode's lines":    {"first\u2028second\u2029third\u0085end", "first second third end"},
		"control characters": {"a\x00b\x1b[31mred\x7f\u009bc", "a b [31mred  c"},
		"turned around":      {"a\u202eb\u200dc\ufeffd", "a b c d"},
		"invalid UTF-8":      {"a\xff\xfeb\xc3", "a\ufffdb\ufffd"},
		"512 bytes":          {strings.Repeat("x", 512), strings.Repeat("x", 512)},
		"513 bytes":          {strings.Repeat("x", 513), strings.Repeat("x", 512) + "…"},
		"3 MiB":              {strings.Repeat("x", 3<<20), strings.Repeat("x", 512) + "…"},
		"cut in a character": {"x" + strings.Repeat("é", 300), "x" + strings.Repeat("é", 255) + "…"},
		"long and invalid":   {strings.Repeat("\xffx", 600), strings.Repeat("\ufffdx", 128) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			r := byHand(t, check("a", checks.Restart, func(context.Context) error { return errors.New(c.err) }))
			r.ProbeAll(t.Context())
			got := read[checks.HealthDocument](t, []byte(body(r)))
			if got.Failures["a"] != c.want || got.Checks["a"].Error != c.want {
				t.Errorf("failures say %q, checks %q; want %q", got.Failures["a"], got.Checks["a"].Error, c.want)
			}
		})
	}
}

func TestWhatARunSaysInTimeIsItsFailure(t *testing.T) {
	own := func(late time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(late)
			return errors.New("TLS handshake: the peer is silent")
		}
	}
	for name, c := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"at once":            {own(0), "TLS handshake: the peer is silent"},
		"soon after":         {own(50 * time.Millisecond), "TLS handshake: the peer is silent"},
		"too late":           {own(200 * time.Millisecond), "hung: no answer within 1s"},
		"the context's word": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "no answer within 1s"},
		"success":            {func(ctx context.Context) error { <-ctx.Done(); return nil }, "no answer within 1s"},
		"a warning":          {func(ctx context.Context) error { <-ctx.Done(); return certificate{3} }, "no answer within 1s"},
		"a panic":            {func(context.Context) error { panic("boom") }, "the check panicked: boom"},
		"no answer at all":   {func(context.Context) error { runtime.Goexit(); return nil }, "hung: no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, slog.New(slog.DiscardHandler), check("a", checks.Restart, c.run))
				pass(1500 * time.Millisecond)
				if got := read[checks.HealthDocument](t, []byte(body(r))).Failures["a"]; got != c.want {
					t.Errorf("failure %q, want %q", got, c.want)
				}
			})
		})
	}
}

// The shortest stale_after that is accepted holds for the slowest run that is.
func TestAGoodResultNeverGrowsStaleByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		a := check("a", checks.Restart, func(context.Context) error {
			if runs.Add(1)%2 == 0 {
				time.Sleep(999 * time.Millisecond)
			}
			return nil
		})
		a.FailAfter, a.StaleAfter = 1, a.Interval+a.Timeout
		r := start(t, slog.New(slog.DiscardHandler), a)
		pass(time.Millisecond)
		for range 3000 {
			time.Sleep(100 * time.Millisecond)
			r.Publish()
			if !r.Snapshot().Healthy {
				t.Fatalf("after %d runs: %s, want OK", runs.Load(), body(r))
			}
		}
		if n := runs.Load(); n < 150 {
			t.Errorf("%d runs in 5 minutes, want at least 150", n)
		}
	})
}

func TestAStoppedCheckIsClosedUnlessItsRunHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int32
		release := make(chan struct{})
		obedient := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for name, c := range map[string]struct {
			run  func(context.Context) error
			want int32
		}{
			"between two runs": {(&switchable{}).run, 1},
			"in a run":         {obedient, 1},
			"hangs":            {func(context.Context) error { <-release; return nil }, 0},
		} {
			a := check("a", checks.Restart, c.run)
			a.Close = func() { closed.Add(1) }
			r := byHand(t, a)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			r.Run(ctx)
			cancel()
			if n := closed.Swap(0); n != c.want {
				t.Errorf("%s: closed %d times, want %d", name, n, c.want)
			}
		}
		close(release)
	})
}

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
