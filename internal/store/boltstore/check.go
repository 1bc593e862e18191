package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/warning"
)

// canaryAfter is how long nothing may have been written until Check writes.
const canaryAfter = 30 * time.Second

// fileCheck is what Check knows between two runs.
type fileCheck struct {
	flight
	olderMeta atomic.Bool // the last run found the older meta page damaged
	canary    bool        // Options.WriteCanary
}

// Check asks whether this process can still serve and keep the accounts, and a new one might. It fails on evidence,
// which lookAtFile finds, or when the disk does not answer: no system call of a run or of a commit for
// Options.HungAfter. Slow answers are a warning. It returns within half of Options.CheckTimeout; a run that takes
// longer goes on. It is not to be called while another Check runs.
//
// Check does not fail while the accounts of a lost file are not saved: a new process would not have them.
// CheckRecords does. When they are saved, the store has failed.
func (s *Store) Check(ctx context.Context) error {
	if s.rescue.unsaved() != nil {
		return nil
	}
	err := s.check.ask(ctx, s.lookAtFile)
	if failed(err) {
		return err
	}
	return cmp.Or(s.latch.err(), s.committer.hung(), err)
}

// lookAtFile is a run of Check. Its layers go from what is known to what touches the map, each one making the next one
// safe: has the store failed; is the open file the one at the path; are both meta pages on the disk itself whole, and
// the file as long as they say; then a read transaction, which finds a record that never changes, and the accounts;
// then a write, by option.
func (s *Store) lookAtFile() error {
	if err := cmp.Or(s.Failure(), s.usable()); err != nil {
		return err
	}
	if err := s.h.atPath(); errors.Is(err, errReplaced) {
		return nil
	} else if err != nil {
		return err
	}
	s.check.answered()
	err := s.h.complete(watched{s.h.disk, &s.check.progress})
	s.check.olderMeta.Store(errors.Is(err, boltfile.ErrOlderMeta))
	if err != nil && !errors.Is(err, boltfile.ErrOlderMeta) {
		return err
	}
	if err := s.ask(&s.check.progress, checkBuckets); err != nil || !s.check.canary {
		return err
	}
	s.check.end() // the committer has a progress of its own
	return s.CheckWrite(context.Background())
}

// CheckRecords decodes the next records of the buckets that requests need, verifies their checksums and the pages that
// lead to them, and goes on from there the next time, so that all of them are read in turn. Its error counts the
// damaged records and names the first ones; it passes again when they are replaced or removed. A new process would find
// the same damage. It also fails while the accounts of a lost file are not saved, and while a newer copy lies beside the
// database. A damaged older meta page that the last Check found is a warning. It returns
// as early as Check, and is not to be called while another CheckRecords runs.
func (s *Store) CheckRecords(ctx context.Context) error {
	unsaved := s.rescue.unsaved()
	if unsaved == nil && s.latch.err() != nil {
		return fmt.Errorf("%w: no records are read; the check bolt says why", store.ErrUnavailable)
	}
	if err := cmp.Or(unsaved, s.usable()); err != nil {
		return err
	}
	return s.walk.ask(ctx, s.walkRecords)
}

func (s *Store) walkRecords() error {
	if err := s.h.atPath(); err != nil {
		return err
	}
	s.walk.answered()
	if err := errors.Join(s.ask(&s.walk.progress, s.walk.read), s.walk.err(), undecided(s.walk.newer)); err != nil {
		return err
	}
	if s.check.olderMeta.Load() {
		return warning.Errorf("%s %v", s.path, boltfile.ErrOlderMeta)
	}
	return nil
}

// CheckLatency fails when the disk took longer than Options.SlowAfter to answer within the last minute, or does not
// answer the read of some pages. A tenth of that is a warning. It asks nothing of the disk.
func (s *Store) CheckLatency(context.Context) error {
	held, longest := s.reads.held()
	if held > 0 {
		return fmt.Errorf("the disk has not answered %d reads, the first for %s; what is on these pages cannot be served",
			held, rounded(longest))
	}
	longest = max(longest, s.latency.slowest(), s.check.waiting(), s.walk.waiting(), s.committer.waiting())
	slow := fmt.Errorf("the disk is slow: it took up to %s to answer within the last minute", rounded(longest))
	switch {
	case longest > s.latency.slowAfter:
		return fmt.Errorf("%w, longer than checks.bolt.slow_after (%s)", slow, s.latency.slowAfter)
	case longest > s.latency.slowAfter/10:
		return warning.Errorf("%v", slow)
	}
	return nil
}

// CheckWritable fails while the last writes found no room, whatever the statistics of the file system say. It asks
// whether a process could open the file for writing: an error of the file system can have made it read-only, and a
// folder can be closed to this user. A file that is gone is for Check to tell, and a process without a free file
// descriptor cannot ask.
func (s *Store) CheckWritable(context.Context) error {
	if err := s.committer.room.err(); err != nil {
		return err
	}
	err := s.writable()
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EMFILE) {
		return nil
	}
	return fmt.Errorf("a restart could not open the database for writing; check the owner and mode of %s and its "+
		"folders, and what is mounted there: %w", s.path, err)
}

// CheckFolder warns while this process may create no file in the database's folder, where the copy of a deleted database
// goes unless Options name another place: the accounts would be lost with the process. Ask it after CheckWritable: a full
// disk, and a file system that became read-only, are for that.
func (s *Store) CheckFolder() error {
	folder := filepath.Dir(s.path)
	if s.rescueDir != folder || !errors.Is(boltfile.MayCreateIn(folder), fs.ErrPermission) {
		return nil
	}
	return warning.Errorf("if the database is deleted, it cannot be put back, and ends with this process: user %d may create no "+
		"file in %s; let that user write there", os.Getuid(), folder)
}

// CheckWrite asks whether a write would succeed. While clients write, their own commits answer that, and it does
// nothing; after 30 s without any it commits a record that never changes, by the same way as theirs. A full disk is
// no failure of it, because every process would find it full, and neither is a lost file, which is for Check to tell.
// Call it only after a Check that passed: that one has read the pages that the commit touches.
func (s *Store) CheckWrite(ctx context.Context) error {
	if time.Since(*s.committer.lastCommit.Load()) < canaryAfter || s.rescue.unsaved() != nil {
		return nil
	}
	err := s.update(ctx, 0, checkSentinel, putSentinel)
	if err == nil || noSpace(err) || errors.Is(err, errReplaced) && s.latch.err() == nil {
		return nil
	}
	return fmt.Errorf("test write after %s without any: %w", canaryAfter, err)
}

// ask calls f with what a read transaction sees, on a goroutine that may hang.
func (s *Store) ask(p *progress, f func(boltfile.Snapshot) error) error {
	file := watched{s.h.file, p}
	err := s.h.read(file, func(tx *bbolt.Tx) error { return f(s.h.snapshot(tx, file)) })
	if isFault(err) {
		s.latch.set(err)
	}
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	return nil
}
