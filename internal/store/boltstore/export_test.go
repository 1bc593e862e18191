package boltstore

import (
	"context"
	"time"

	"go.etcd.io/bbolt"
)

// For the tests of behaviour, which are in package boltstore_test: what no fault from outside can bring about, or only
// in a long time.

const MaxCopies = maxCopies

// RemapForTest reserves so much address space, which the file has outgrown then. Nothing else may use the store.
func (s *Store) RemapForTest(size int) error {
	s.h.mapSize = size
	return s.h.reopen()
}

// CommitForTest has the committer make a change that no method makes.
func (s *Store) CommitForTest(apply func(*bbolt.Tx) error) error {
	return s.update(context.Background(), 0, nil, apply)
}

// ReadForTest has a read transaction last as long as f, and then reads its pages.
func (s *Store) ReadForTest(f func()) error {
	return s.h.read(s.h.file, func(tx *bbolt.Tx) error { f(); return checkBuckets(s.h.snapshot(tx, s.h.file)) })
}

// RescueForTest makes the store believe that it left so many copies already, and try none for this long.
func (s *Store) RescueForTest(copies int, pause time.Duration) {
	s.CommitForTest(func(*bbolt.Tx) error {
		s.rescue.copies, s.rescue.next = copies, time.Now().Add(pause)
		return errUnchanged
	})
}

// LaterForTest makes the last commit, and the last write that was refused, older by d.
func (s *Store) LaterForTest(d time.Duration) {
	s.committer.lastCommit.Store(new(s.committer.lastCommit.Load().Add(-d)))
	if last := s.committer.room.refused.Load(); last != nil {
		s.committer.room.refused.CompareAndSwap(last, &refusal{last.at.Add(-d), last.err})
	}
}

// LatchForTest ends the store as a failed commit does, which the committer sees.
func (s *Store) LatchForTest(err error) {
	s.CommitForTest(func(*bbolt.Tx) error { s.latch.set(err); return errUnchanged })
}

// ForgetForTest has accounts that were just read be read again.
func (s *Store) ForgetForTest() { s.h.seen.Store(nil) }

// NoSyncForTest spares all flushes to the disk.
func (s *Store) NoSyncForTest() { s.h.db.NoSync = true }

// QueuedForTest is how many writes wait.
func (s *Store) QueuedForTest() int { return len(s.committer.writes) }
