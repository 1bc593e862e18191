package handlers

import (
	"context"
	"io"
	"sync"
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

// Backuper makes copies of the accounts.
type Backuper interface {
	// Backup makes a copy and verifies all of it. The error is ErrBackupRuns beside another one, ErrNoBackups of a store
	// without such copies, and DamagedDatabase if that is why. The caller closes the copy.
	Backup(ctx context.Context) (*Copy, error)
}

// Copy is a verified copy of the accounts.
type Copy struct {
	io.ReadCloser
	Name string // for a file
	Size int64  // in bytes
}

// Live is what the routes serve. Its parts may be set at any time, also while requests are served: the routes are built
// once, before the database is open. The zero value says that the service is starting. A request that has begun goes on
// with what it began with.
type Live struct {
	store      atomic.Pointer[store.Store]
	health     atomic.Pointer[Health]
	maintainer atomic.Pointer[Maintainer]
	backuper   atomic.Pointer[Backuper]
	database   atomic.Pointer[func() string]
	started    signal // given when there is a store, or there will be none
}

// SetStore sets where the accounts are. Until it is called, requests for them wait up to Options.Hold and are then 503.
func (l *Live) SetStore(s store.Store) {
	l.store.Store(&s)
	l.started.give()
}

// GiveUp says that there will be no store: requests that wait for one are answered 503 now.
func (l *Live) GiveUp() { l.started.give() }

// signal tells any number of waiters that something happened. It can be given many times; only the first counts. The
// zero value is not given.
type signal struct {
	made, closed sync.Once
	c            chan struct{}
}

// given returns a channel that is closed when the signal is given.
func (s *signal) given() <-chan struct{} {
	s.made.Do(func() { s.c = make(chan struct{}) })
	return s.c
}

func (s *signal) give() {
	s.given()
	s.closed.Do(func() { close(s.c) })
}

// SetHealth sets what /health and /ready publish. Before it they say "starting".
func (l *Live) SetHealth(h Health) { l.health.Store(&h) }

// SetMaintainer sets what carries out a maintenance. Before it operators are told that the service is starting (503).
func (l *Live) SetMaintainer(m Maintainer) { l.maintainer.Store(&m) }

// SetBackuper sets what makes backups. Before it operators are told that the service is starting (503).
func (l *Live) SetBackuper(b Backuper) { l.backuper.Store(&b) }

// SetSize sets what tells people how large the database is, and which backup is the newest, in one line. It must not
// wait for anything.
func (l *Live) SetSize(size func() string) { l.database.Store(&size) }

// size is "" before SetSize.
func (l *Live) size() string {
	if size := l.database.Load(); size != nil {
		return (*size)()
	}
	return ""
}

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

// whenSet returns a part of a Live, or errStarting before it is set.
func whenSet[T any](part *atomic.Pointer[T]) (value T, err error) {
	if p := part.Load(); p != nil {
		return *p, nil
	}
	return value, errStarting
}
