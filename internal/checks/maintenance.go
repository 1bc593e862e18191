package checks

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// MaxMaintenance is the longest time that traffic can be sent away for: who
// forgets it gets it back within a day.
const MaxMaintenance = 24 * time.Hour

// Maintenance is an operator's word that no traffic is wanted for a while.
type Maintenance struct {
	Reason string
	Since  time.Time
	Until  time.Time // it ends by itself
}

func (m *Maintenance) verdict() error {
	if m == nil {
		return nil
	}
	return fmt.Errorf("until %s: %s", m.Until.UTC().Format(time.RFC3339), m.Reason)
}

// maintenance is the one that is on, if any. Nothing of it is written down: it
// ends with the process.
type maintenance struct {
	log *slog.Logger
	on  atomic.Pointer[Maintenance]
}

// at is the maintenance that is on at the time now, or nil.
func (m *maintenance) at(now time.Time) *Maintenance {
	if on := m.on.Load(); on != nil && now.Before(on.Until) {
		return on
	}
	return nil
}

// expire forgets a maintenance whose time is up, and says so.
func (m *maintenance) expire() {
	if on := m.on.Load(); on != nil && m.at(time.Now()) == nil && m.on.CompareAndSwap(on, nil) {
		m.log.Info("maintenance ended", "by", "time", "reason", on.Reason)
	}
}

// Maintain makes the service not ready for so long, or until EndMaintenance,
// and has published that when it returns. /health is not affected. A second
// call replaces the reason and the end. The reason is shown to everybody as one
// printable line, and must not be empty; the time is above 0 and at most
// MaxMaintenance.
func (r *Runner) Maintain(reason string, lasts time.Duration) (Maintenance, error) {
	switch reason = strings.TrimSpace(printable(reason)); {
	case reason == "":
		return Maintenance{}, errors.New("maintenance needs a reason")
	case lasts <= 0 || lasts > MaxMaintenance:
		return Maintenance{}, fmt.Errorf("maintenance must last more than 0 and at most %s", MaxMaintenance)
	}
	r.maintenance.expire() // one whose time is up is said, not continued
	now := time.Now()
	on := Maintenance{Reason: reason, Since: now, Until: now.Add(lasts)}
	if was := r.maintenance.at(now); was != nil {
		on.Since = was.Since
	}
	r.maintenance.on.Store(&on)
	r.publish()
	r.maintenance.log.Info("maintenance began", "reason", reason, "until", on.Until.UTC().Format(time.RFC3339))
	return on, nil
}

// EndMaintenance ends what Maintain began, and has published that when it
// returns. Without a maintenance it does nothing.
func (r *Runner) EndMaintenance() {
	if on := r.maintenance.on.Swap(nil); on != nil {
		r.publish()
		r.maintenance.log.Info("maintenance ended", "by", "order", "reason", on.Reason)
	}
}

// Maintenance returns the maintenance that is on, and whether one is.
func (r *Runner) Maintenance() (Maintenance, bool) {
	if on := r.maintenance.at(time.Now()); on != nil {
		return *on, true
	}
	return Maintenance{}, false
}
