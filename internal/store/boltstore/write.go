package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// maxBatch is how many writes share one transaction, and so one fsync.
const maxBatch = 256

// maxWeight is how many accounts a batch may change until no write is added to
// it: a few imports at once would be a transaction of many seconds.
const maxWeight = 4096

// write is one caller's change on its way to the committer.
type write struct {
	// touch reads by pread the pages that apply will read through the map; nil
	// for a change of none.
	touch func(boltfile.Snapshot) error
	// apply makes the change, or returns an error and has changed nothing.
	apply  func(*bbolt.Tx) error
	weight int         // how many accounts it changes
	done   chan error  // has room for the one answer
	taken  atomic.Bool // by the committer, or by a caller that gave up
}

// errUnchanged is what apply returns when all is well and there is nothing to
// commit. update gives nil for it, unless the batch fails: what apply found may
// be the work of another write in it.
var errUnchanged = errors.New("nothing to change")

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
	err = s.update(ctx, nil, func(tx *bbolt.Tx) error {
		put = 0
		meta, accounts := tx.Bucket(boltfile.MetaBucket), tx.Bucket(boltfile.AccountBucket)
		if meta.Get(boltfile.SeededKey) != nil {
			return errUnchanged
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
		return meta.Put(boltfile.SeededKey, boltfile.Seal(boltfile.SeededKey, fmt.Append(nil, put)))
	})
	if err != nil {
		return 0, fmt.Errorf("bolt seed: %w", err)
	}
	return put, nil
}

func putAccount(b *bbolt.Bucket, acc store.Account) error {
	record, err := boltfile.EncodeAccount(acc)
	if err != nil {
		return err
	}
	return b.Put([]byte(acc.ID), record)
}

// update hands a change to the committer and waits for its commit.
func (s *Store) update(ctx context.Context, touch func(boltfile.Snapshot) error, apply func(*bbolt.Tx) error) error {
	return s.submit(ctx, &write{touch: touch, apply: apply, weight: 1})
}

func (s *Store) submit(ctx context.Context, w *write) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := errors.Join(s.takesWrites(), ctx.Err()); err != nil {
		return err
	}
	w.done = make(chan error, 1)
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
	for s.failed.Load() == nil {
		var err error
		select {
		case <-s.closing:
			if s.failed.Load() != nil {
				continue // to stand by: what ended the store may hang whoever reads it
			}
			s.rescue(true) // if nobody has noticed yet that the file is gone, this is the last chance
			return
		case <-s.lost:
			if err = s.identity(s.handle()); err == nil {
				s.saving.Store(nil) // it came back
			}
		case w := <-s.writes:
			err = s.commit(s.collect(w))
		}
		if errors.Is(err, errReplaced) && s.failed.Load() == nil {
			s.rescue(false)
		}
	}
	s.standBy()
}

// reportLost asks the committer to look for the file, and does not wait.
func (s *Store) reportLost() {
	select {
	case s.lost <- struct{}{}:
	default:
	}
}

func (s *Store) collect(first *write) []*write {
	batch := []*write{first}
	for weight := first.weight; len(batch) < maxBatch && weight < maxWeight; {
		select {
		case w := <-s.writes:
			batch = append(batch, w)
			weight += w.weight
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch in one transaction, answers each of its writes, and
// returns the error of the transaction. After one that leaves the outcome open
// it latches the store, unless it is only that the file is no longer at its path.
func (s *Store) commit(batch []*write) error {
	batch = slices.DeleteFunc(batch, func(w *write) bool { return !w.taken.CompareAndSwap(false, true) })
	if len(batch) == 0 {
		return nil
	}
	s.progress()
	defer s.busy.Store(nil)
	answers := make([]error, len(batch))
	err := guard(func() error { return s.transact(batch, answers) })
	var broken *fault
	if errors.As(err, &broken) {
		s.latch(err)
		err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	for i, w := range batch {
		// an answer that is an error holds if the batch does: what a condition
		// met may have been written by another one in it
		if err != nil || errors.Is(answers[i], errUnchanged) {
			answers[i] = err
		}
		w.done <- answers[i]
	}
	s.reserve.keep(s.handle().file) // while busy says that the disk is asked
	return err
}

// progress says that the commit under way was answered by the disk just now. A
// large one takes its time, and only one that stands still is ill.
func (s *Store) progress() {
	now := time.Now()
	s.busy.Store(&now)
}

// transact is the body of commit. An error of one write is its answer alone; an
// error of the transaction is returned, for all others.
func (s *Store) transact(batch []*write, answers []error) error {
	h := s.handle()
	if err := s.identity(h); errors.Is(err, errReplaced) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	tx, err := h.begin()
	if err != nil {
		s.latch(err)
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	txid := uint64(tx.ID())
	snap := h.snapshot(tx)
	changed := false
	for i, w := range batch {
		s.progress()
		if answers[i] = warm(snap, w.touch); answers[i] == nil {
			answers[i] = w.apply(tx)
		}
		changed = changed || answers[i] == nil
	}
	if !changed {
		return tx.Rollback()
	}
	s.forget(tx, snap, min(forgetEach*len(batch), forgetMost))
	s.progress()
	if err := tx.Commit(); err != nil {
		return s.commitFailed(err, txid)
	}
	h.committed.Store(txid)
	s.noteWrite()
	if err := s.identity(h); errors.Is(err, errReplaced) {
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	return nil
}

// begin begins the transaction that follows the last one of this process. Any
// other means that somebody else wrote into the file.
func (h *handle) begin() (*bbolt.Tx, error) {
	info, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	m, err := h.inspect(h.file, info.Size())
	if err != nil && !errors.Is(err, boltfile.ErrOlderMeta) { // that one is written anew now
		return nil, err
	}
	if _, err := boltfile.ReadFreelist(h.file, m); err != nil {
		return nil, err
	}
	tx, err := h.db.Begin(true)
	if err != nil {
		return nil, err
	}
	if last := h.committed.Load(); uint64(tx.ID()) != last+1 {
		return nil, errors.Join(errForeign(uint64(tx.ID())-1, last), tx.Rollback())
	}
	return tx, nil
}

// errForeign says that the file's last transaction is not ours.
func errForeign(found, ours uint64) error {
	if found < ours {
		return fmt.Errorf("the database went back from transaction %d to %d", ours, found)
	}
	return fmt.Errorf("the database has transaction %d, and this process wrote only %d: something else wrote into the open file", found, ours)
}

// warm reads the pages of a write by pread before the transaction reads them
// through the map.
func warm(snap boltfile.Snapshot, touch func(boltfile.Snapshot) error) error {
	if touch == nil {
		return nil
	}
	if err := touch(snap); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// commitFailed puts the end of a failed commit into words. A full disk leaves
// all as it was, unless the failure came after the meta page was written.
func (s *Store) commitFailed(err error, txid uint64) error {
	if noSpace(err) {
		after, _ := boltfile.InspectFile(s.handle().file)
		if after.TxID != 0 && after.TxID < txid {
			return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
		}
	}
	s.latch(err)
	return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
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
