package checks

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
)

// byHand returns a Runner that probes and publishes only as the test tells it.
func byHand(t *testing.T, checks ...Check) *Runner {
	t.Helper()
	r, err := New(me, slog.New(slog.DiscardHandler), checks...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

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
		var sick switchable
		a := check("a", Restart, sick.run)
		a.FailAfter, a.PassAfter = c.failAfter, c.passAfter
		r := byHand(t, a)
		for _, run := range c.runs {
			sick.set(nil)
			if run == 'f' {
				sick.set(errors.New("ill"))
			}
			r.probers[0].probe(t.Context(), nil)
		}
		got := r.probers[0].result.Load()
		failures, passes := len(c.runs)-len(strings.TrimRight(c.runs, "f")), len(c.runs)-len(strings.TrimRight(c.runs, "p"))
		if got.Status != c.want || got.ConsecutiveFailures != failures || got.ConsecutivePasses != passes {
			t.Errorf("fail_after %d, pass_after %d, runs %s: %s with %d failures and %d passes in a row; want %s with %d and %d",
				c.failAfter, c.passAfter, c.runs, got.Status, got.ConsecutiveFailures, got.ConsecutivePasses, c.want, failures, passes)
		}
	}
}

// Without its care this fault is no panic: it ends the process, and this test.
func TestFaultOnMappedMemoryIsAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapped")
	if err := os.WriteFile(path, make([]byte, 2*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 2*os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	r := byHand(t, check("a", Restart, func(context.Context) error {
		if mapped[os.Getpagesize()] != 0 {
			return errors.New("not what was written")
		}
		return nil
	}))
	r.probers[0].probe(t.Context(), nil)
	if got := r.probers[0].result.Load(); got.Status != OK {
		t.Fatalf("whole file: %s, %v; want ok", got.Status, got.Err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	r.probers[0].probe(t.Context(), nil)
	if got := r.probers[0].result.Load(); got.Err == nil || !strings.Contains(got.Err.Error(), "the check panicked") || got.ConsecutiveFailures != 1 {
		t.Errorf("cut file: %v and %d failures; want a panic's words and 1", got.Err, got.ConsecutiveFailures)
	}
}

func TestWordsOfAnErrorAreOneShortPrintableLine(t *testing.T) {
	for name, c := range map[string]struct{ err, want string }{
		"plain":              {"connect: refused", "connect: refused"},
		"other languages":    {"диск 磁盘 é “full”", "диск 磁盘 é “full”"},
		"lines":              {"first\nsecond\r\nthird\tend", "first second  third end"},
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
			r := byHand(t, check("a", Restart, func(context.Context) error { return errors.New(c.err) }))
			r.probers[0].probe(t.Context(), nil)
			r.publish()
			got := read(t, r.Report().Body)
			if got.Failures["a"] != c.want || got.Checks["a"].Error != c.want {
				t.Errorf("failures say %q, checks %q; want %q", got.Failures["a"], got.Checks["a"].Error, c.want)
			}
		})
	}
}

func TestARunMayStillSayWhyAtItsDeadline(t *testing.T) {
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
		"soon after":         {own(lastWords / 2), "TLS handshake: the peer is silent"},
		"too late":           {own(2 * lastWords), "hung: no answer within 1s"},
		"the context's word": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "no answer within 1s"},
		"success":            {func(ctx context.Context) error { <-ctx.Done(); return nil }, "no answer within 1s"},
		"no answer at all":   {func(context.Context) error { runtime.Goexit(); return nil }, "hung: no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, slog.New(slog.DiscardHandler), check("a", Restart, c.run))
				pass(1500 * time.Millisecond)
				if got := read(t, r.Report().Body).Failures["a"]; got != c.want {
					t.Errorf("failure %q, want %q", got, c.want)
				}
			})
		})
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

// The shortest stale_after that is accepted holds for the slowest run that is.
func TestAGoodResultNeverGrowsStaleByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		a := check("a", Restart, func(context.Context) error {
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
			r.publish()
			if report := r.Report(); report.HealthStatus != 200 {
				t.Fatalf("after %d runs: %s, want OK", runs.Load(), report.Body)
			}
		}
		if n := runs.Load(); n < 150 {
			t.Errorf("%d runs in 5 minutes, want at least 150", n)
		}
	})
}
