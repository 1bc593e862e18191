package handlers

import (
	"context"
	"io"
	"sync/atomic"

	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// Health is where the published health comes from.
type Health interface {
	Snapshot() *checks.Snapshot
}

// Copy is a verified copy of the accounts.
type Copy struct {
	io.ReadCloser
	Name string // for a file
	Size int64  // in bytes
}

// Parts are what the routes serve, beside the health, when the service has started.
type Parts struct {
	Store      store.Store
	Maintainer *checks.Runner // sends the traffic away for a while
	// Backup makes a copy and verifies all of it; nil if the store has no such copies. The error is ErrBackupRuns beside
	// another one, and else NoBackup. The caller closes the copy.
	Backup func(context.Context) (*Copy, error)
	// Size, if not nil, tells people how large the database is, and which backup is the newest, in one line. It must not
	// wait for anything.
	Size func() string
}

// Live is what the routes serve. Its methods may be called at any time, also while requests are served: the routes are
// built once, before the database is open. A request that has begun goes on with what it began with.
type Live struct {
	health  atomic.Pointer[Health]
	parts   atomic.Pointer[Parts]
	started context.Context // ends when there are parts, or there will be none

	// GiveUp says that there will be no parts: requests that wait for a store are answered 503 now.
	GiveUp context.CancelFunc
}

// NewLive returns a Live that says that the service is starting.
func NewLive() *Live {
	l := &Live{}
	l.SetHealth(checks.Pending{Reason: "starting"})
	l.started, l.GiveUp = context.WithCancel(context.Background())
	return l
}

// Serve sets the parts. Until it is called, requests for accounts wait up to Options.Hold and are then 503, and operators
// are told that the service is starting (503).
func (l *Live) Serve(p Parts) {
	l.parts.Store(&p)
	l.GiveUp() // nobody has to wait any more
}

// SetHealth sets what /health and /ready publish.
func (l *Live) SetHealth(h Health) { l.health.Store(&h) }

// Snapshot implements Health.
func (l *Live) Snapshot() *checks.Snapshot { return (*l.health.Load()).Snapshot() }

func (l *Live) accounts() store.Store {
	if p := l.parts.Load(); p != nil {
		return p.Store
	}
	return store.Unavailable("starting")
}

func (l *Live) size() string {
	if p := l.parts.Load(); p != nil && p.Size != nil {
		return p.Size()
	}
	return ""
}

// serving returns the parts, or errStarting before there are any.
func (l *Live) serving() (Parts, error) {
	if p := l.parts.Load(); p != nil {
		return *p, nil
	}
	return Parts{}, errStarting
}
