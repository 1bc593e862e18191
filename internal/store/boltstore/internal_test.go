package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/tests/harness"
)

var must = harness.Must

// opened is an open store of n accounts, for the tests of what is inside of it.
func opened(t *testing.T, n int, opts Options) *Store {
	t.Helper()
	opts.Path, opts.CheckTimeout = filepath.Join(t.TempDir(), "accounts.db"), time.Minute
	s, err := Open(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
	})
	_, err = s.Seed(t.Context(), store.Fakes(n))
	must(t, err)
	return s
}

func TestCommitsAreSynced(t *testing.T) {
	t.Parallel()
	db := opened(t, 1, Options{}).h.db
	if db.NoSync || db.NoGrowSync || db.NoFreelistSync {
		t.Errorf("the database is opened without its syncs: NoSync %v, NoGrowSync %v, NoFreelistSync %v", db.NoSync,
			db.NoGrowSync, db.NoFreelistSync)
	}
}

func TestFileThatComesBackWhileItIsCopiedIsServedOn(t *testing.T) {
	t.Parallel()
	s := opened(t, 10, Options{})
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error { // in the committer, whose it is
		must(t, os.Rename(s.path, s.path+".old"))
		lost := s.h.atPath()
		must(t, os.Rename(s.path+".old", s.path))
		if !errors.Is(lost, errReplaced) {
			t.Errorf("got %v", lost)
		}
		s.rescue.try(lost, false)
		return putSentinel(tx)
	}))
	must(t, s.CommitForTest(putSentinel))
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(s.path), "*resc*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

// What ended a store may hang whoever reads its file: a stop leaves that alone.
func TestStopOfAStoreThatFailedReadsNothing(t *testing.T) {
	t.Parallel()
	s := opened(t, 10, Options{})
	s.latch.set(&fault{value: "locks may be held"})
	must(t, os.Remove(s.path))
	must(t, s.Close(t.Context()))
	<-s.committer.stopped
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.path), "*.db*"))
	if err != nil || !slices.Equal(left, []string{witness(s.path)}) {
		t.Errorf("in the folder: %q, %v; want only the witness", left, err)
	}
}

// A copy that is under way when bbolt gets stuck never ends, and a restart can lose nothing more by it.
func TestStoreThatFailsWhileItIsSavedIsNotHealthy(t *testing.T) {
	t.Parallel()
	s := opened(t, 10, Options{})
	s.h.mapped.Lock() // as by a read that ended in a memory fault
	must(t, os.Remove(s.path))
	if !harness.Until(10*time.Second, func() bool { return s.rescue.state.Load() != nil }) {
		t.Fatal("the loss is not seen")
	}
	must(t, s.Check(t.Context()))
	s.latch.set(&fault{value: "locks may be held"})
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Check = %v, want ErrUnavailable", err)
	}
	must(t, s.Close(t.Context()))
	s.h.mapped.Unlock()
	<-s.committer.stopped
}
