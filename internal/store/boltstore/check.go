package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// walkStep is how many records one CheckRecords decodes.
	walkStep = 1024
	// hangAfter is how long a Check may be without an answer from the disk until
	// requests are refused before they touch the file.
	hangAfter = 2 * time.Second
	// slowCommit is how long a commit may stand still until Check fails: so long
	// that two Checks in a row, at their default interval, find one that hangs
	// within 6 s.
	slowCommit = time.Second
	// hangTurns of hangTurn are how long it is watched then before that is believed.
	hangTurn, hangTurns = 20 * time.Millisecond, 15
)

// Check asks whether this process can still serve and keep the accounts, and a
// new one might. Its layers go from what is known to what touches the map, each
// one making the next one safe: what the store has latched; is the open file
// the one at the path; both meta pages from the disk itself, and the file as
// long as they say; is a commit hanging; then a read transaction, which finds a
// record that never changes, and the accounts. It changes nothing in the file but
// an older meta page that is damaged.
// It obeys ctx only between layers, for a disk that hangs can't be told to
// stop, and is not to be called while another Check runs. A file that is gone is
// told to the committer, which puts it back; while it does, a new process would
// find nothing, so that Check does not fail for it, and CheckRecords does.
func (s *Store) Check(ctx context.Context) error {
	begun := time.Now()
	s.asking.Store(&begun)
	defer s.asking.Store(nil)
	watch := time.AfterFunc(hangAfter, func() {
		if lasts(context.Background(), &s.asking, &begun) {
			s.hung.Store(&begun)
		}
	})
	defer watch.Stop()
	if f := s.failed.Load(); f != nil {
		if errors.Is(f.err, errReplaced) {
			s.reportLost() // what was saved may be gone too
		}
		return s.explain(f)
	}
	h, err := s.hold()
	if err != nil {
		return err
	}
	defer h.release()
	if err := s.inPlace(h); err != nil {
		return err
	}
	err = h.complete()
	if errors.Is(err, boltfile.ErrOlderMeta) {
		err = s.mend(ctx, h, err)
	} else {
		s.halved.Store(nil)
	}
	if err != nil {
		return fmt.Errorf("%s %w", s.path, err)
	}
	if err := errors.Join(s.writing(ctx), ctx.Err()); err != nil {
		return err
	}
	_, err = s.ask(func(snap boltfile.Snapshot) (store.ID, error) { return "", checkBuckets(snap) })
	return err
}

// CheckRecords decodes the next records, verifies their checksums and the pages
// that lead to them, and goes on from there the next time, so that all of them
// are read in turn. A new process would find the same damage. It fails too while
// a lost database is put back, for then writes are refused. It is not to be
// called while another CheckRecords runs.
func (s *Store) CheckRecords(context.Context) error {
	if err := errors.Join(s.usable(), s.takesWrites()); err != nil {
		return err
	}
	if damage := s.halved.Load(); damage != nil {
		return fmt.Errorf("%s %w, and the disk is too full to write it anew: free some space", s.path, *damage)
	}
	walked, err := s.ask(func(snap boltfile.Snapshot) (store.ID, error) {
		return walk(snap, s.walked)
	})
	if err == nil {
		s.walked = walked
	}
	return err // with damage, the next walk begins where this one did
}

// CheckWritable asks whether the file system still takes writes, by opening the
// file for it: an error of the file system can have made it read-only, which
// its statistics do not show. A file that is gone is Check's to tell.
func (s *Store) CheckWritable(context.Context) error {
	f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the database can't be written: %w", err)
	}
	return f.Close()
}

// ask is read for checks, whose goroutines may hang: they take no place from
// the requests.
func (s *Store) ask(f func(boltfile.Snapshot) (store.ID, error)) (store.ID, error) {
	id, err := read(s, f)
	var broken *fault
	if errors.As(err, &broken) {
		s.latch(err)
	}
	if err != nil {
		return id, fmt.Errorf("read transaction: %w", err)
	}
	return id, nil
}

// complete inspects the file on its disk. A commit that writes a meta page at
// this moment can be seen half done, so a fault counts when it is found three
// times.
func (h *handle) complete() (err error) {
	for range 3 {
		committed := h.committed.Load()
		info, statErr := h.file.Stat()
		if statErr != nil {
			return statErr
		}
		var best boltfile.Meta
		best, err = h.inspect(h.disk, info.Size())
		if err == nil && (best.TxID < committed || best.TxID > h.committed.Load()+1) {
			err = errForeign(best.TxID, committed)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// inspect is inspect of the open file, by what this process knows: which is the
// newest transaction.
func (h *handle) inspect(f io.ReaderAt, size int64) (boltfile.Meta, error) {
	committed := h.committed.Load()
	m, err := boltfile.Inspect(f, size)
	if errors.Is(err, boltfile.ErrNewestMeta) && m.TxID >= committed {
		err = boltfile.ErrOlderMeta
	}
	return m, err
}

// mend commits, which writes a damaged older meta page anew: nothing is lost with
// it, and nobody is to be killed for it. A full disk is no reason for that either,
// and is for CheckRecords to say. Two commits write both pages, for in a copy that
// was put back the first one can be of either.
func (s *Store) mend(ctx context.Context, h *handle, damage error) error {
	for range 2 {
		switch err := s.touchSentinel(ctx); {
		case errors.Is(err, store.ErrNoSpace):
			s.halved.Store(&damage)
			return nil
		case err != nil:
			return fmt.Errorf("%w, and a commit, which writes it anew, failed: %w", damage, err)
		}
	}
	if err := h.complete(); err != nil {
		return err
	}
	s.log.Warn("the database was damaged and is mended", "path", s.path, "damage", damage)
	return nil
}

// writing fails when a commit has been under way for too long: the disk takes
// no writes, and every client waits for it in vain.
func (s *Store) writing(ctx context.Context) error {
	begun := s.busy.Load()
	if begun == nil || time.Since(*begun) <= slowCommit || !lasts(ctx, &s.busy, begun) {
		return nil
	}
	return fmt.Errorf("a write has been under way for %s: the disk takes none", time.Since(*begun).Round(100*time.Millisecond))
}

// lasts says whether what now has begun stays so for a while in which this
// process has the CPU: one that is starved of it is as slow as a disk that
// hangs, and nothing is wrong with the disk.
func lasts(ctx context.Context, now *atomic.Pointer[time.Time], begun *time.Time) bool {
	turn := time.NewTicker(hangTurn)
	defer turn.Stop()
	for seen := 0; seen < hangTurns; {
		asked := time.Now()
		select {
		case <-turn.C:
		case <-ctx.Done():
			return false
		}
		if now.Load() != begun {
			return false
		}
		if time.Since(asked) < 2*hangTurn {
			seen++
		}
	}
	return true
}

// walk decodes the next walkStep records after from and returns the id of the
// last, or "" at the end.
func walk(snap boltfile.Snapshot, from store.ID) (last store.ID, err error) {
	accounts, err := snap.Bucket(boltfile.AccountBucket)
	if err != nil {
		return from, err
	}
	n := 0
	var damage error
	err = accounts.After([]byte(from), func(k, v []byte) bool {
		acc, err := decode(k, v)
		if err != nil && damage == nil { // the first is enough to act on
			damage = err
		}
		last = acc.ID
		n++
		return n < walkStep
	})
	if n < walkStep {
		last = "" // begin again
	}
	return last, errors.Join(err, damage)
}
