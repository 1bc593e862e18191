package checks_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
)

func TestMaintenanceSendsTrafficAwayAndEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := start(t, slog.New(slog.NewTextHandler(&out, nil)), check("a", checks.Restart, (&switchable{}).run))
		pass(time.Millisecond)
		if m := r.Maintain("a new disk", 10*time.Minute); time.Until(m.Until) != 10*time.Minute {
			t.Errorf("until %s", m.Until)
		}
		expect(t, r, 200, 503, "until 2000-01-01T00:10:00Z: a new disk", `"ready":false`) // at once
		pass(10*time.Minute - time.Second)
		expect(t, r, 200, 503)
		pass(2 * time.Second)
		expect(t, r, 200, 200, `"status":"OK"`)
		if _, on := r.Maintenance(); on {
			t.Errorf("it is still on")
		}
		pass(time.Minute)
		if strings.Count(out.String(), "maintenance began") != 1 || strings.Count(out.String(), "maintenance ended") != 1 {
			t.Errorf("log:\n%s\nwant its begin and its end, once each", out.String())
		}
	})
}

func TestMaintenanceIsReplacedAndEndedByOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, slog.New(slog.DiscardHandler), check("a", checks.Restart, (&switchable{}).run))
		pass(time.Millisecond)
		first := r.Maintain("one", time.Minute)
		pass(30 * time.Second)
		r.Maintain("two", time.Hour)
		pass(10 * time.Minute)
		expect(t, r, 200, 503, ": two")
		if m, on := r.Maintenance(); !on || m.Reason != "two" || m.Since != first.Since {
			t.Errorf("got %+v, %v; want the second reason, and since the first", m, on)
		}
		long := strings.Repeat("磁", 200) // as long as the operators' listener takes it
		r.Maintain(long, time.Hour)
		expect(t, r, 200, 503, ": "+long)
		r.EndMaintenance()
		expect(t, r, 200, 200) // at once
		r.EndMaintenance()
		expect(t, r, 200, 200)
		r.Maintain("three", time.Minute)
		r.Drain()
		expect(t, r, 200, 503, "told to stop", ": three")
		r.EndMaintenance()
		expect(t, r, 200, 503, "told to stop") // a drain outlasts it
	})
}

// The exit code of a stop during it must not say that the service was never ready.
func TestServiceInMaintenanceFromTheStartWasReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := byHand(t, check("a", checks.Restart, (&switchable{}).run))
		r.Maintain("from the start", time.Minute)
		if r.WasReady() {
			t.Errorf("ready before its check had an answer")
		}
		expect(t, r, 503, 503)
		r.ProbeAll(t.Context())
		expect(t, r, 200, 503)
		if !r.WasReady() {
			t.Errorf("it was never ready, but for the maintenance it was")
		}
	})
}
