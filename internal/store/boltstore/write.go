package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// write is one caller's change on its way to the committer.
type write struct {
	// touch reads by pread the pages that apply will read through the map; nil
	// for a change of none.
	touch func(snapshot) error
	// apply makes the change, or returns an error and has changed nothing.
	apply  func(*bbolt.Tx) error
	weight int         // how many accounts it changes
	done   chan error  // has room for the one answer
	taken  atomic.Bool // by the committer, or by a caller that gave up
}

// errUnchanged is what apply returns when all is well and there is nothing to
// commit. submit returns nil for it if the batch commits; otherwise the error of
// the batch, because apply may have read another write of the same batch.
var errUnchanged = errors.New("nothing to change")

// update hands a change of one account to the committer and waits for its commit.
func (s *Store) update(ctx context.Context, touch func(snapshot) error, apply func(*bbolt.Tx) error) error {
	return s.submit(ctx, &write{touch: touch, apply: apply, weight: 1})
}

func (s *Store) submit(ctx context.Context, w *write) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := errors.Join(s.rescue.unsaved(), ctx.Err()); err != nil {
		return err
	}
	w.done = make(chan error, 1)
	select {
	case s.committer.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.committer.stopped:
		return s.usable()
	case <-s.latch.stuck:
		return s.usable()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return w.giveUp(ctx.Err())
	case <-s.committer.stopped:
		return w.giveUp(s.usable())
	case <-s.latch.stuck:
		return w.giveUp(s.usable())
	}
}

// giveUp is the answer to a caller that waits no longer: why, if the committer
// has not taken the write and now never will; else the committer's answer, or that
// the outcome is unknown.
func (w *write) giveUp(why error) error {
	if w.taken.CompareAndSwap(false, true) {
		return why
	}
	select {
	case err := <-w.done:
		return err
	default:
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, why)
	}
}
