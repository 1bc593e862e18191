package boltstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

func TestHangingCommitFailsTheCheckAndBoundsClose(t *testing.T) {
	s, _, err := tryOpen(t, filepath.Join(t.TempDir(), "accounts.db"),
		boltstore.Options{SlowAfter: 500 * time.Millisecond, HungAfter: time.Second, CheckTimeout: 100 * time.Millisecond})
	must(t, err)
	must(t, errOf(s.Seed(t.Context(), store.Fakes(10))))
	must(t, s.Check(t.Context()))
	release := blocked(t, s)
	if err := s.Check(t.Context()); errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Check beside a commit under way = %v", err)
	}
	await(t, "a failing Check", func() bool { return errors.Is(s.Check(t.Context()), store.ErrUnavailable) })
	wantErr(t, putName(t, s, "10000", "x"), store.ErrUnavailable)
	must(t, errOf(s.Get(t.Context(), "10000")))
	wantWords(t, s.CheckLatency(t.Context()), "slow_after")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantErr(t, s.Close(ctx), context.DeadlineExceeded)
	release()
	storetest.Close(t, s)
}
