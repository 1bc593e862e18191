package checks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// probeAll makes one run for each letter, a second apart: p passes, f fails.
func probeAll(t *testing.T, r *checks.Runner, sick *switchable, runs string) {
	t.Helper()
	for i, run := range runs {
		sick.set(nil)
		if run == 'f' {
			sick.set(fmt.Errorf("ill in run %d", i))
		}
		time.Sleep(time.Second) // of a synctest bubble
		r.ProbeCheck(t.Context(), 0)
	}
	r.Publish()
}

func TestChangesAndTheLastFailureAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		r := byHand(t, check("a", checks.Restart, sick.run))
		begin := time.Now()
		probeAll(t, r, &sick, "p")
		if d := r.Snapshot().Checks[0]; d.LastFailure != nil {
			t.Errorf("without a failure: %+v", d.LastFailure)
		}
		probeAll(t, r, &sick, "pfpfffp")
		d := r.Snapshot().Checks[0]
		if d.LastFailure == nil || d.LastFailure.Error != "ill in run 5" || d.LastFailure.At.Sub(begin).Round(time.Second) != 7*time.Second || d.Status != checks.OK || d.Error != "" {
			t.Errorf("got %+v, want ok, and the failure of a second ago", d)
		}
		want := []string{
			"failing to ok after 3 and 2s: ill in run 5, at 8s",
			"ok to failing after 2 and 5s: ill in run 4, at 6s",
			"starting to ok after 0 and 1s: , at 1s",
		}
		for i, c := range d.Changes {
			got := fmt.Sprintf("%s to %s after %d and %s: %s, at %s", c.From, c.To, c.Failures, c.Lasted, c.Error, c.At.Sub(begin).Round(time.Second))
			if i >= len(want) || got != want[i] {
				t.Errorf("change %d: %s", i, got)
			}
		}
		if len(d.Changes) != len(want) {
			t.Errorf("%d changes, want %q", len(d.Changes), want)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := errors.New(strings.Repeat("x", 16<<10))
		var sick switchable
		a := check("a", checks.Restart, sick.run)
		a.FailAfter = 1
		r := byHand(t, a)
		for i := range 200 {
			sick.set(nil)
			if i%2 == 1 {
				sick.set(long)
			}
			r.Publish()
			before := r.Snapshot().Checks[0]
			kept := slices.Clone(before.Changes)
			time.Sleep(time.Second)
			r.ProbeCheck(t.Context(), 0)
			if !slices.Equal(before.Changes, kept) {
				t.Fatalf("run %d changed what others may be reading", i)
			}
		}
		r.Publish()
		d := r.Snapshot().Checks[0]
		if len(d.Changes) != 20 || d.Changes[0].To != checks.Failing || d.Changes[19].To != checks.OK {
			t.Errorf("%d changes from %+v; want the last 20", len(d.Changes), d.Changes[0])
		}
		if n := len(one(t, r, checks.JSON, "a").Body); n > 16<<10 {
			t.Errorf("the answer has %d bytes", n)
		}
	})
}

type certificate struct{ days int }

func (c certificate) Error() string { return "certificate ends: not shown" }
func (c certificate) Warning() string {
	return fmt.Sprintf("the certificate ends in %d days\nsoon", c.days)
}

func TestWarningIsAPassWithAText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var sick switchable
		r := start(t, slog.New(slog.NewTextHandler(&out, nil)), check("a", checks.Restart, sick.run))
		sick.set(certificate{3})
		pass(2200 * time.Millisecond)
		expect(t, r, 200, 200, `"status":"OK"`, `"warning":"the certificate ends in 3 days soon"`)
		if body := body(r); strings.Contains(body, "not shown") || strings.Contains(body, "failures\":{") {
			t.Errorf("%s shows a failure", body)
		}
		for form, want := range map[checks.Form]string{checks.HealthJSON: `"status":"warn","version":"test","description":"accountservice","output":"a: the certificate ends in 3 days soon"`,
			checks.Text: "; warning: the certificate ends in 3 days soon\n"} {
			if got := r.Snapshot().AnswerHealth(form, true); !got.OK || !strings.Contains(string(got.Body), want) {
				t.Errorf("form %d, strict: %v %s, want OK with %q", form, got.OK, got.Body, want)
			}
		}
		sick.set(certificate{2})
		pass(time.Minute)
		sick.set(nil)
		pass(time.Minute)
		expect(t, r, 200, 200, `"status":"OK"`)
		if n := strings.Count(out.String(), "health warning"); n != 2 || !strings.Contains(out.String(), "health warning ended") {
			t.Errorf("log:\n%s\nwant its begin and its end, once each", out.String())
		}
		if d := r.Snapshot().Checks[0]; d.Warning != "" || len(d.Changes) != 1 {
			t.Errorf("got %+v, want no warning and no change but the start", d)
		}
	})
}

func TestAWarningInAFailureIsNoPass(t *testing.T) {
	for _, err := range []error{errors.Join(certificate{1}, errors.New("ill")), fmt.Errorf("ill: %w", certificate{1})} {
		r := byHand(t, check("a", checks.Restart, func(context.Context) error { return err }))
		r.ProbeAll(t.Context())
		if got := r.Snapshot().Checks[0]; got.Status != checks.Failing || got.Warning != "" {
			t.Errorf("%q: %s, warning %q; want a failure", err, got.Status, got.Warning)
		}
	}
}

// That a result grows too old is a change like any other.
func TestGrowingStaleIsLoggedOnceAndEndsWithAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var sick switchable
		r, err := checks.New(me, slog.New(slog.NewTextHandler(&out, nil)), check("a", checks.Restart, sick.run))
		harness.Must(t, err)
		r.ProbeCheck(t.Context(), 0)
		time.Sleep(16 * time.Second)
		r.Publish()
		expect(t, r, 503, 503, "stale: no result for 16s") // before it is logged
		for range 3 {
			r.Expire()
		}
		r.Publish()
		expect(t, r, 503, 503, "stale: no result for 16s")
		sick.set(errors.New("ill"))
		r.ProbeAll(t.Context()) // below fail_after, and yet no pass
		expect(t, r, 503, 503, `"failures":{"a":"ill"}`)
		sick.set(nil)
		r.ProbeAll(t.Context())
		expect(t, r, 200, 200)
		lines := regexp.MustCompile(`health changed.*`).FindAllString(out.String(), -1)
		if len(lines) != 3 || !strings.Contains(lines[1], `from=ok to=failing`) || !strings.Contains(lines[1], "stale: no result for 16s") ||
			!strings.Contains(lines[2], "from=failing to=ok") || !strings.Contains(lines[2], "err=ill") {
			t.Errorf("log:\n%s", out.String())
		}
	})
}

func TestAStaleCheckRecoversAsSlowlyAsAFailingOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick switchable
		a := check("a", checks.Restart, sick.run)
		a.PassAfter = 3
		r := byHand(t, a)
		probeAll(t, r, &sick, "ppp")
		expect(t, r, 200, 200)
		time.Sleep(16 * time.Second)
		r.Expire()
		probeAll(t, r, &sick, "p")
		expect(t, r, 503, 503, "recovering: 1 of 3 passes in a row")
		probeAll(t, r, &sick, "pfpp")
		expect(t, r, 503, 503, "recovering: 2 of 3 passes in a row")
		probeAll(t, r, &sick, "p")
		expect(t, r, 200, 200)
		if d := r.Snapshot().Checks[0]; d.Changes[0].Failures != 1 || d.Changes[0].From != checks.Failing || len(d.Changes) != 3 {
			t.Errorf("changes %+v, want one back to ok after one failure", d.Changes)
		}
	})
}

// hangingLog is a slog.Handler that hangs until read is closed.
type hangingLog struct{ read chan struct{} }

func (hangingLog) Enabled(context.Context, slog.Level) bool    { return true }
func (h hangingLog) Handle(context.Context, slog.Record) error { <-h.read; return nil }
func (h hangingLog) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h hangingLog) WithGroup(string) slog.Handler             { return h }

func TestALogThatHangsDoesNotHoldUpTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := hangingLog{make(chan struct{})}
		r := start(t, slog.New(log), check("a", checks.Restart, (&switchable{}).run))
		pass(20 * time.Second) // the prober waits for the log, its result grows old
		if age := time.Since(r.Snapshot().At); age > time.Second {
			t.Errorf("the last answer is %s old", age)
		}
		expect(t, r, 503, 503, "stale: no result for 20s")
		close(log.read)
		pass(time.Second)
		expect(t, r, 200, 200)
	})
}

func TestANewWarningIsPublishedAtOnce(t *testing.T) {
	var sick switchable
	r := byHand(t, check("a", checks.Restart, sick.run))
	for i, c := range []struct {
		err  error
		soon bool
	}{{nil, true}, {nil, false}, {certificate{3}, true}, {certificate{3}, false}, {certificate{2}, true}, {nil, true}} {
		sick.set(c.err)
		r.ProbeCheck(t.Context(), 0)
		if soon := r.TakeDue(); soon != c.soon {
			t.Errorf("run %d, %v: an answer is due: %v, want %v", i, c.err, soon, c.soon)
		}
	}
}
