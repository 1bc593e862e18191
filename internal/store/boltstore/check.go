package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// walkStep is how many records one CheckRecords decodes.
	walkStep = 1024
	// slowCommit is how long a commit may stand still until Check fails: so long that two Checks in a row, at their
	// default interval, find one that hangs within 6 s.
	slowCommit = time.Second
	// canaryAfter is how long nothing may have been written until CheckWrite writes.
	canaryAfter = 30 * time.Second
)

// Check asks whether this process can still serve and keep the accounts, and a new one might. Its layers go from what
// is known to what touches the map, each one making the next one safe: has the store failed; is the open file the one
// at the path; are both meta pages on the disk itself whole, and the file as long as they say; is a commit hanging;
// then a read transaction, which finds a record that never changes, and the accounts. It changes nothing.
//
// Check does not fail while the accounts of a lost file are not saved: a new process would not have them.
// CheckRecords does. When they are saved, the store has failed.
//
// It obeys ctx only between layers, for a disk that hangs can't be told to stop, and is not to be called while
// another Check runs.
func (s *Store) Check(ctx context.Context) error {
	defer s.watch.begin()()
	if s.rescue.unsaved() != nil {
		return nil
	}
	if err := cmp.Or(s.Failure(), s.usable()); err != nil {
		return err
	}
	if err := s.h.atPath(); errors.Is(err, errReplaced) {
		return nil
	} else if err != nil {
		return err
	}
	err := s.h.complete()
	s.watch.olderMeta.Store(errors.Is(err, boltfile.ErrOlderMeta))
	if err != nil && !errors.Is(err, boltfile.ErrOlderMeta) {
		return err
	}
	if err := errors.Join(s.writing(ctx), ctx.Err()); err != nil {
		return err
	}
	return s.ask(checkBuckets)
}

// CheckRecords decodes the next records of the buckets that requests need, verifies their checksums and the pages that
// lead to them, and goes on from there the next time, so that all of them are read in turn. A new process would find the same damage. It fails too
// while the accounts of a lost file are not saved, and while a newer copy lies beside the database. A damaged older
// meta page that the last Check found is a warning, an error with a method Warning: nothing is lost, and the next commit
// writes it anew. It is not to be called while another CheckRecords runs.
func (s *Store) CheckRecords(context.Context) error {
	unsaved := s.rescue.unsaved()
	if unsaved == nil && s.latch.err() != nil {
		return fmt.Errorf("%w: skipped, because it has failed", store.ErrUnavailable) // Check says why
	}
	if err := cmp.Or(unsaved, s.usable()); err != nil {
		return err
	}
	if err := s.h.atPath(); err != nil {
		return err
	}
	if err := errors.Join(s.ask(s.watch.walk), undecided(s.newer)); err != nil {
		return err
	}
	if s.watch.olderMeta.Load() {
		return warning{fmt.Errorf("%s %w", s.path, boltfile.ErrOlderMeta)}
	}
	return nil
}

// warning is the error of a check that passed and has something to say.
type warning struct{ error }

func (w warning) Warning() string { return w.Error() }

// CheckWritable fails while the last writes found no room, whatever the statistics of the file system say. It asks
// whether a process could open the file for writing: an error of the file system can have made it read-only, and a
// folder can be closed to this user. A file that is gone is for Check to tell.
func (s *Store) CheckWritable(context.Context) error {
	if err := s.committer.room.err(); err != nil {
		return err
	}
	f, err := boltfile.Open(s.path, os.O_WRONLY|syscall.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("a restart could not open the database for writing; check the owner and mode of %s and its "+
			"folders, and what is mounted there: %w", s.path, err)
	}
	return f.Close()
}

// CheckWrite asks whether a write would succeed. While clients write, their own commits answer that, and it does
// nothing; after 30 s without any it commits a record that never changes, by the same way as theirs. A full disk is
// no failure of it, because every process would find it full, and neither is a lost file, which is for Check to tell.
// It is for after a Check that passed, which has read the pages that the commit touches.
func (s *Store) CheckWrite(ctx context.Context) error {
	if time.Since(*s.committer.lastCommit.Load()) < canaryAfter || s.rescue.unsaved() != nil {
		return nil
	}
	err := s.update(ctx, checkSentinel, putSentinel)
	if err == nil || noSpace(err) || errors.Is(err, errReplaced) && s.latch.err() == nil {
		return nil
	}
	return fmt.Errorf("test write after %s without any: %w", canaryAfter, err)
}

// ask is view for checks, whose goroutines may hang: they take no place from the requests.
func (s *Store) ask(f func(boltfile.Snapshot) error) error {
	err := s.h.read(func(tx *bbolt.Tx) error { return f(s.h.snapshot(tx)) })
	var broken *fault
	if errors.As(err, &broken) {
		s.latch.set(err)
	}
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	return nil
}

// writing fails when a commit has been under way for too long: the disk takes no writes, and every client waits for
// it in vain.
func (s *Store) writing(ctx context.Context) error {
	now := &s.committer.commitStarted
	begun := now.Load()
	if begun == nil || time.Since(*begun) <= slowCommit || !stillStuck(ctx, now, begun) {
		return nil
	}
	return fmt.Errorf("a write has been under way for %s: the disk takes none",
		time.Since(*begun).Round(100*time.Millisecond))
}

// walked is how far CheckRecords read: the bucket by its place in walkedBuckets, and the last key in it.
type walked struct {
	bucket int
	key    []byte
}

// walkedBuckets are the buckets that CheckRecords reads, and what decodes their records: all that requests need.
var walkedBuckets = []struct {
	name   []byte
	decode func(key, record []byte) error
}{
	{boltfile.AccountBucket, func(k, v []byte) error { _, err := decode(k, v); return err }},
	{boltfile.MetaBucket, func(k, v []byte) error { _, err := ownRecord(k, v); return err }},
	{boltfile.AnswerBucket, func(k, v []byte) error { _, err := decodeAnswer(k, v); return err }},
	{boltfile.AgeBucket, func(k, v []byte) error { return boltfile.CheckAge(k, v) }},
}

// walk decodes the next walkStep records. After damage the next walk begins where this one did.
func (w *watch) walk(snap boltfile.Snapshot) error {
	if err := checkAnswerBuckets(snap); err != nil {
		return err
	}
	at, left := w.walked, walkStep
	for range walkedBuckets {
		bucket := walkedBuckets[at.bucket]
		var damage error
		tree, err := snap.Bucket(bucket.name)
		if err == nil {
			err = tree.After(at.key, func(k, v []byte) bool {
				if err := bucket.decode(k, v); err != nil && damage == nil { // the first is enough to act on
					damage = err
				}
				at.key = k
				left--
				return left > 0
			})
		} else if errors.Is(err, boltfile.ErrNoBucket) && at.bucket > 1 { // no write of this file had a key yet
			err = nil
		}
		if err := errors.Join(err, damage); err != nil {
			return err
		}
		if left == 0 {
			break
		}
		at = walked{bucket: (at.bucket + 1) % len(walkedBuckets), key: []byte{}}
	}
	w.walked = at
	return nil
}
