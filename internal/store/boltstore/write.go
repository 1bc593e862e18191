package boltstore

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// update hands a change of so many accounts to the committer and waits for its commit.
func (s *Store) update(
	ctx context.Context, accounts int, touch func(boltfile.Snapshot) error, apply func(*bbolt.Tx) error,
) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := errors.Join(s.rescue.unsaved(), s.committer.hung(), ctx.Err()); err != nil {
		return err
	}
	w := &write{touch: touch, apply: apply, weight: accounts, begun: time.Now(), done: make(chan error, 1)}
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
