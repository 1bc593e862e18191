package boltstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"accountservice/internal/store"
)

func TestTestWriteIsMadeOnlyWhenNobodyWrites(t *testing.T) {
	s, path := seeded(t, 10)
	before := metaAt(t, path).TxID
	for range 3 {
		if err := s.CheckWrite(t.Context()); err != nil || metaAt(t, path).TxID != before {
			t.Fatalf("CheckWrite = %v and %d commits, want none just after a write", err, metaAt(t, path).TxID-before)
		}
	}
	s.LaterForTest(30 * time.Second)
	for range 3 { // the first one is a write too
		if err := s.CheckWrite(t.Context()); err != nil || metaAt(t, path).TxID != before+1 {
			t.Fatalf("CheckWrite = %v and %d commits, want one after 30 s without any", err, metaAt(t, path).TxID-before)
		}
	}
	if err := errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestTestWriteObeysItsDeadline(t *testing.T) {
	s, _ := seeded(t, 10)
	defer blocked(t, s)()
	s.LaterForTest(30 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantErr(t, s.CheckWrite(ctx), context.DeadlineExceeded, "test write")
}

func TestTestWriteOnAFullDiskIsNoFailure(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 10)
	for _, call := range []string{"pwrite64:error=ENOSPC", "fdatasync:error=ENOSPC:when=2+"} {
		end := injectorOf(t, s).fail(t, call, "fsync:error=ENOSPC")
		s.LaterForTest(30 * time.Second)
		must(t, s.CheckWrite(t.Context()))
		if end() == 0 {
			t.Error("the disk was not full")
		}
	}
}

func TestTestWriteFindsADiskThatTakesNone(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	s.LaterForTest(30 * time.Second)
	refuseWrites(t, path)
	wantErr(t, s.CheckWrite(t.Context()), store.ErrOutcomeUnknown)
	wantWords(t, s.Check(t.Context()), "it stopped at")
}
