package boltstore_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

// changing changes account 10009 while f runs in the committer.
func changing(ctx context.Context, s *boltstore.Store, f func()) error {
	return errOf(s.Update(ctx, "10009", store.Preconditions{}, func(store.Account) (store.Draft, error) {
		f()
		return store.Draft{Name: "changed"}, nil
	}))
}

// unusable fails the test unless everything is refused from now on.
func unusable(t *testing.T, s *boltstore.Store) {
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
	s, path := seeded(t, 10)
	// what follows of this commit fails as a broken disk does
	wantErr(t, changing(t.Context(), s, func() { refuseWrites(t, path) }), store.ErrOutcomeUnknown)
	unusable(t, s)
}

func TestFileLostDuringACommitIsOfUnknownOutcomeAndItIsKept(t *testing.T) {
	t.Parallel()
	other := closed(t, 3)
	for name, c := range map[string]struct {
		lose func(path string) error
		want int // accounts at the path afterwards
	}{
		"replaced":   {func(path string) error { return os.Rename(other, path) }, 3},
		"moved away": {func(path string) error { return os.Rename(path, path+".old") }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 10)
			wantErr(t, changing(t.Context(), s, func() { must(t, c.lose(path)) }), store.ErrOutcomeUnknown)
			await(t, "the latch", func() bool { return s.Failure() != nil })
			unusable(t, s)
			storetest.Close(t, s)
			s = openAt(t, path)
			if n := len(all(t, s)); n != c.want {
				t.Errorf("%d accounts, want %d", n, c.want)
			} else if n == 10 {
				wantName(t, s, "10009", "changed")
			}
		})
	}
}

func TestPanicInACommitIsOfUnknownOutcomeAndLatches(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	wantErr(t, s.CommitForTest(func(*bbolt.Tx) error { panic("ordered") }), store.ErrOutcomeUnknown)
	unusable(t, s)
	if err := s.CheckRecords(t.Context()); err == nil || err.Error() != "store unavailable: no records are read; the check bolt says why" {
		t.Errorf("CheckRecords = %v, want no second telling of what Check says", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, s.Close(ctx))
}

// blocked holds the committer inside a change until release is called.
func blocked(t *testing.T, s *boltstore.Store) (release func()) {
	t.Helper()
	begun, gate := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- changing(context.Background(), s, func() { close(begun); <-gate })
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
	await(t, "the write in the queue", func() bool { return s.QueuedForTest() == 1 })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("Put = %v, want context.Canceled: it was never begun", err)
	}
	release()
	must(t, putName(t, s, "after", "x")) // the queue is worked off
	wantErr(t, errOf(s.Get(t.Context(), "cancelled")), store.ErrNotFound)
}

func TestWriteCancelledWhileItIsMadeIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	begun, gate := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		answer <- changing(ctx, s, func() { close(begun); <-gate })
	}()
	<-begun
	cancel()
	if err := <-answer; !errors.Is(err, store.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want ErrOutcomeUnknown and context.Canceled", err)
	}
	close(gate)
	must(t, putName(t, s, "after", "x"))
	wantName(t, s, "10009", "changed")
}
