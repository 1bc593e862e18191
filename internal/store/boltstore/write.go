package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// maxBatch is how many writes share one transaction, and so one fsync.
const maxBatch = 256

// write is one caller's change on its way to the committer.
type write struct {
	// apply makes the change, or returns an error and has changed nothing.
	apply func(*bbolt.Tx) error
	done  chan error  // has room for the one answer
	taken atomic.Bool // by the committer, or by a caller that gave up
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, id store.ID, draft store.Draft) (acc store.Account, created bool, err error) {
	if _, err := store.ParseID(string(id)); err != nil {
		return acc, false, fmt.Errorf("bolt put: %w", err)
	}
	if err := draft.Validate(); err != nil {
		return acc, false, fmt.Errorf("bolt put: %w", err)
	}
	var put store.Account
	var isNew bool
	err = s.update(ctx, func(tx *bbolt.Tx) (err error) {
		b := tx.Bucket(accountBucket)
		var old *store.Account
		if v := b.Get([]byte(id)); v != nil {
			found, err := decode([]byte(id), v)
			if err != nil {
				return err
			}
			old = &found
		}
		put, isNew = store.Next(old, id, draft, s.now())
		return putAccount(b, put)
	})
	if err != nil {
		return acc, false, fmt.Errorf("bolt put: %w", err)
	}
	return put, isNew, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(accountBucket)
		if b.Get([]byte(id)) == nil {
			return store.ErrNotFound
		}
		return b.Delete([]byte(id))
	})
	if err != nil {
		return fmt.Errorf("bolt delete: %w", err)
	}
	return nil
}

// Seed implements store.Store.
func (s *Store) Seed(ctx context.Context, seeds []store.Seeding) (n int, err error) {
	seeds = slices.Clone(seeds)
	// in key order a large seeding is ten times faster
	slices.SortFunc(seeds, func(a, b store.Seeding) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, seed := range seeds {
		if _, err := store.ParseID(string(seed.ID)); err != nil {
			return 0, fmt.Errorf("bolt seed: %w", err)
		}
		if err := seed.Draft.Validate(); err != nil {
			return 0, fmt.Errorf("bolt seed: %w", err)
		}
	}
	var put int
	err = s.update(ctx, func(tx *bbolt.Tx) error {
		put = 0
		meta, accounts := tx.Bucket(metaBucket), tx.Bucket(accountBucket)
		if meta.Get(seededKey) != nil {
			return nil
		}
		if k, _ := accounts.Cursor().First(); k == nil {
			now := s.now()
			for _, seed := range seeds {
				acc, _ := store.Next(nil, seed.ID, seed.Draft, now)
				if err := putAccount(accounts, acc); err != nil {
					return err
				}
			}
			put = len(seeds)
		}
		return meta.Put(seededKey, seal(seededKey, fmt.Append(nil, put)))
	})
	if err != nil {
		return 0, fmt.Errorf("bolt seed: %w", err)
	}
	return put, nil
}

func putAccount(b *bbolt.Bucket, acc store.Account) error {
	record, err := encode(acc)
	if err != nil {
		return err
	}
	return b.Put([]byte(acc.ID), record)
}

// update hands a change to the committer and waits for its commit.
func (s *Store) update(ctx context.Context, apply func(*bbolt.Tx) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{apply: apply, done: make(chan error, 1)}
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return s.usable()
	case <-s.stuck:
		return s.usable()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return w.giveUp(ctx.Err())
	case <-s.stopped:
		return w.giveUp(s.usable())
	case <-s.stuck:
		return w.giveUp(s.usable())
	}
}

// giveUp is the answer to a caller that waits no longer: why, if the committer
// has not taken the write and now never will; else what it said, or that
// nobody knows.
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

// commitLoop is the one writer: it takes a write, and with it all that wait by
// then, into one transaction. A lone write waits for nobody.
func (s *Store) commitLoop() {
	defer close(s.stopped)
	for {
		select {
		case <-s.closing:
			return
		case w := <-s.writes:
			s.commit(s.collect(w))
			if s.failed.Load() != nil {
				return
			}
		}
	}
}

func (s *Store) collect(first *write) []*write {
	batch := []*write{first}
	for len(batch) < maxBatch {
		select {
		case w := <-s.writes:
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch in one transaction and answers each of its writes.
// After an error that leaves the outcome open it latches the store.
func (s *Store) commit(batch []*write) {
	batch = slices.DeleteFunc(batch, func(w *write) bool { return !w.taken.CompareAndSwap(false, true) })
	if len(batch) == 0 {
		return
	}
	answers := make([]error, len(batch))
	err := guard(func() error { return s.transact(batch, answers) })
	var broken *fault
	if errors.As(err, &broken) {
		s.latch(err)
		err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	for i, w := range batch {
		if answers[i] == nil {
			answers[i] = err
		}
		w.done <- answers[i]
	}
}

// transact is the body of commit. An error of one write is its answer alone; an
// error of the transaction is returned, for all others.
func (s *Store) transact(batch []*write, answers []error) error {
	if err := s.identity(); errors.Is(err, errReplaced) {
		s.latch(err)
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		s.latch(err)
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	changed := false
	for i, w := range batch {
		answers[i] = w.apply(tx)
		changed = changed || answers[i] == nil
	}
	if !changed {
		return tx.Rollback()
	}
	if err := tx.Commit(); noSpace(err) {
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	} else if err != nil {
		s.latch(err)
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	if err := s.identity(); errors.Is(err, errReplaced) {
		s.latch(err)
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	return nil
}

// noSpace: bbolt keeps some causes as text only.
func noSpace(err error) bool {
	if err == nil {
		return false
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
