package boltstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
)

const (
	// refusedFor is how long at least a refused write counts: small commits often find room where others do not, so a
	// success in between proves little.
	refusedFor = 10 * time.Second
	// tryBytes is how much a try writes behind the last page of the file: more than a small commit needs.
	tryBytes = 64 << 10
)

// room knows whether the last writes found room. Only the committer notes what they met.
type room struct {
	refused atomic.Pointer[refusal] // the last refused write, until a write succeeds refusedFor later
}

type refusal struct {
	at  time.Time
	err error
}

func (r *room) note(err error) {
	if noSpace(err) {
		r.refused.Store(&refusal{time.Now(), err})
	} else if err == nil && r.tryDue() {
		r.refused.Store(nil)
	}
}

// tryDue reports whether the last refused write is so old that the next one decides.
func (r *room) tryDue() bool {
	last := r.refused.Load()
	return last != nil && time.Since(last.at) >= refusedFor
}

// err is ErrNoSpace while the last writes found no room.
func (r *room) err() error {
	last := r.refused.Load()
	if last == nil {
		return nil
	}
	return fmt.Errorf("%w: a write was refused at %s: %w; free some space, or look for a quota, a full pool beneath the "+
		"file system, or a limit of the size of files",
		store.ErrNoSpace, last.at.UTC().Format(time.RFC3339), last.err)
}
