package checks

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"accountservice/internal/excerpt"
)

// MaxMaintenance is the longest maintenance, so that one that was forgotten ends within a day.
const MaxMaintenance = 24 * time.Hour

// Maintenance is an operator's order to send no traffic for a while.
type Maintenance struct {
	Reason string
	Since  time.Time
	Until  time.Time // it ends by itself
}

func (m Maintenance) String() string {
	return fmt.Sprintf("until %s: %s", m.Until.UTC().Format(time.RFC3339), m.Reason)
}

// maintenance is the current one, if any. It is not stored, and ends with the process.
type maintenance struct {
	log     *slog.Logger
	current atomic.Pointer[Maintenance]
}

// at returns the maintenance at the time now, or nil.
func (m *maintenance) at(now time.Time) *Maintenance {
	if current := m.current.Load(); current != nil && now.Before(current.Until) {
		return current
	}
	return nil
}

// expire ends a maintenance whose time is up, and logs it.
func (m *maintenance) expire() {
	if old := m.current.Load(); old != nil && m.at(time.Now()) == nil && m.current.CompareAndSwap(old, nil) {
		m.log.Info("maintenance ended", "by", "time", "reason", old.Reason)
	}
}

// Maintain makes the service not ready for so long, or until EndMaintenance, and has published that when it returns.
// /health is not affected. A second call replaces the reason and the end. The reason is shown as one printable line, as
// long as it is. duration is above 0 and at most MaxMaintenance.
func (r *Runner) Maintain(reason string, duration time.Duration) Maintenance {
	reason = excerpt.Line(reason)
	r.maintenance.expire() // an old one is logged as ended, and not continued
	now := time.Now()
	m := Maintenance{Reason: reason, Since: now, Until: now.Add(duration)}
	if old := r.maintenance.at(now); old != nil {
		m.Since = old.Since
	}
	r.maintenance.current.Store(&m)
	r.publish()
	r.maintenance.log.Info("maintenance began", "reason", reason, "until", m.Until.UTC().Format(time.RFC3339))
	return m
}

// EndMaintenance ends what Maintain began, and has published that when it returns. Without a maintenance it does
// nothing.
func (r *Runner) EndMaintenance() {
	if old := r.maintenance.current.Swap(nil); old != nil {
		r.publish()
		r.maintenance.log.Info("maintenance ended", "by", "operator", "reason", old.Reason)
	}
}

// Maintenance returns the current maintenance, and whether there is one.
func (r *Runner) Maintenance() (Maintenance, bool) {
	if m := r.maintenance.at(time.Now()); m != nil {
		return *m, true
	}
	return Maintenance{}, false
}
