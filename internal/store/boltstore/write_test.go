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
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// putName is a change as Put makes it.
func putName(id, name string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		return putAccount(tx.Bucket(boltfile.AccountBucket), store.Account{ID: store.ID(id), Draft: store.Draft{Name: name}, Version: 1})
	}
}

// unusable fails the test unless everything is refused from now on.
func unusable(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, getErr := s.Get(ctx, "10000")
	_, putErr := s.Put(ctx, "10000", store.Draft{Name: "x"}, store.Preconditions{})
	for _, err := range []error{getErr, putErr, s.Check(ctx), s.CheckRecords(ctx)} {
		wantErr(t, err, store.ErrUnavailable)
	}
}

func TestFailedCommitIsOfUnknownOutcomeAndLatches(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	err := s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
		refuseWrites(t, s) // what follows of this commit fails as a broken disk does
		return putName("1", "x")(tx)
	})
	wantErr(t, err, store.ErrOutcomeUnknown)
	unusable(t, s)
}

func TestFileLostDuringACommitIsOfUnknownOutcomeAndItIsKept(t *testing.T) {
	t.Parallel()
	closed, other := seeded(t, 3)
	storetest.Close(t, closed)
	for name, c := range map[string]struct {
		lose func(path string) error
		want string // account at the path afterwards
	}{
		"replaced":   {func(path string) error { return os.Rename(other, path) }, "10000"},
		"moved away": {func(path string) error { return os.Rename(path, path+".old") }, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 10)
			err := s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
				must(t, c.lose(path))
				return putName("1", "x")(tx)
			})
			wantErr(t, err, store.ErrOutcomeUnknown)
			await(t, "the latch", func() bool { return s.latch.err() != nil })
			unusable(t, s)
			storetest.Close(t, s)
			_, err = openAt(t, path).Get(t.Context(), store.ID(c.want))
			must(t, err)
		})
	}
}

func TestFileThatComesBackWhileItIsCopiedIsServedOn(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { // in the committer, whose it is
		must(t, os.Rename(path, path+".old"))
		lost := s.h.atPath()
		must(t, os.Rename(path+".old", path))
		wantErr(t, lost, errReplaced)
		s.rescue.try(lost, false)
		return putName("10000", "after")(tx)
	}))
	wantName(t, s, "10000", "after")
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*resc*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

// What ended a store may hang whoever reads its file: a stop leaves that alone.
func TestStopOfAStoreThatFailedReadsNothing(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	s.latch.set(&fault{value: "locks may be held"})
	must(t, os.Remove(path))
	storetest.Close(t, s)
	<-s.committer.stopped
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.db*")); err != nil || !slices.Equal(left, []string{witness(path)}) {
		t.Errorf("in the folder: %q, %v; want only the witness", left, err)
	}
}

func TestPanicInACommitIsOfUnknownOutcomeAndLatches(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	wantErr(t, s.update(t.Context(), nil, func(*bbolt.Tx) error { panic("ordered") }), store.ErrOutcomeUnknown)
	unusable(t, s)
	if err := s.CheckRecords(t.Context()); err == nil || err.Error() != "store unavailable: skipped, because it has failed" {
		t.Errorf("CheckRecords = %v, want no second telling of what Check says", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, s.Close(ctx))
}

// blocked holds the committer inside a change until release is called.
func blocked(t *testing.T, s *Store) (release func()) {
	t.Helper()
	begun, gate := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.update(context.Background(), nil, func(tx *bbolt.Tx) error {
			close(begun)
			<-gate
			return putName("blocker", "x")(tx)
		})
	}()
	<-begun
	return func() {
		close(gate)
		if err := <-done; err != nil {
			t.Errorf("blocking update: %v", err)
		}
	}
}

func TestWriteCancelledInTheQueueNeverHappens(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	release := blocked(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := s.Put(ctx, "cancelled", store.Draft{Name: "x"}, store.Preconditions{})
		answer <- err
	}()
	await(t, "the write in the queue", func() bool { return len(s.committer.writes) == 1 })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("Put = %v, want context.Canceled: it was never begun", err)
	}
	release()
	if _, err := s.Put(t.Context(), "after", store.Draft{Name: "x"}, store.Preconditions{}); err != nil { // the queue is worked off
		t.Fatal(err)
	}
	wantErr(t, errOf(s.Get(t.Context(), "cancelled")), store.ErrNotFound)
}

func TestWriteCancelledWhileItIsMadeIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	begun, gate := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		answer <- s.update(ctx, nil, func(tx *bbolt.Tx) error {
			close(begun)
			<-gate
			return putName("made", "x")(tx)
		})
	}()
	<-begun
	cancel()
	if err := <-answer; !errors.Is(err, store.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("update = %v, want ErrOutcomeUnknown and context.Canceled", err)
	}
	close(gate)
	must(t, errOf(s.Put(t.Context(), "after", store.Draft{Name: "x"}, store.Preconditions{})))
	must(t, errOf(s.Get(t.Context(), "made")))
}

func TestCopyOverTheOpenFileIsFoundAndNotWrittenOn(t *testing.T) {
	t.Parallel()
	for name, writes := range map[string]int{"older copy": 1, "newer copy": 40} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 10)
			other, otherPath := seeded(t, 10)
			for range 20 {
				put(t, s)
			}
			for range writes {
				put(t, other)
			}
			content, err := os.ReadFile(otherPath)
			must(t, err)
			f, err := os.OpenFile(path, os.O_WRONLY, 0) // the same file, with other content
			must(t, err)
			_, err = f.WriteAt(content, 0)
			must(t, errors.Join(err, f.Close()))

			if err := s.Check(t.Context()); err == nil {
				t.Errorf("Check says nothing")
			}
			if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "lost"}, store.Preconditions{}); err == nil {
				t.Errorf("a write was acknowledged on top of the copy")
			}
		})
	}
}

func TestCommitsAreSynced(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 1)
	if s.h.db.NoSync || s.h.db.NoGrowSync || s.h.db.NoFreelistSync {
		t.Errorf("the database is opened without its syncs: NoSync %v, NoGrowSync %v, NoFreelistSync %v", s.h.db.NoSync, s.h.db.NoGrowSync, s.h.db.NoFreelistSync)
	}
}
