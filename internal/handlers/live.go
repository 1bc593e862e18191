package handlers

import (
	"sync/atomic"
	"time"

	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// Health is where the published health comes from.
type Health interface {
	Snapshot() *checks.Snapshot
}

// Maintainer sends the traffic away for a while.
type Maintainer interface {
	Maintain(reason string, duration time.Duration) (checks.Maintenance, error)
	EndMaintenance()
	Maintenance() (checks.Maintenance, bool)
}

// Live is what the routes serve. Its parts may be set at any time, also while requests are served: the routes are built
// once, before the database is open. The zero value says that the service is starting. A request that has begun goes on
// with what it began with.
type Live struct {
	store      atomic.Pointer[store.Store]
	health     atomic.Pointer[Health]
	maintainer atomic.Pointer[Maintainer]
}

// SetStore sets where the accounts are. Before it they are unavailable (503).
func (l *Live) SetStore(s store.Store) { l.store.Store(&s) }

// SetHealth sets what /health and /ready publish. Before it they say "starting".
func (l *Live) SetHealth(h Health) { l.health.Store(&h) }

// SetMaintainer sets what carries out a maintenance. Before it operators are told that the service is starting (503).
func (l *Live) SetMaintainer(m Maintainer) { l.maintainer.Store(&m) }

func (l *Live) accounts() store.Store {
	if s := l.store.Load(); s != nil {
		return *s
	}
	return store.Unavailable("starting")
}

// Snapshot implements Health.
func (l *Live) Snapshot() *checks.Snapshot {
	if h := l.health.Load(); h != nil {
		return (*h).Snapshot()
	}
	return checks.Pending{Reason: "starting"}.Snapshot()
}

// maintenance returns errStarting before SetMaintainer.
func (l *Live) maintenance() (Maintainer, error) {
	if m := l.maintainer.Load(); m != nil {
		return *m, nil
	}
	return nil, errStarting
}
