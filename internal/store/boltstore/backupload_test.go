package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// TestBackupHardlyDelaysWrites compares the writes of 64 writers beside backups with those without, in turns. It judges
// in its long form alone: what else the machine does is in both, but not equally in a short run.
func TestBackupHardlyDelaysWrites(t *testing.T) {
	accounts, turns, span := 10_000, 2, 200*time.Millisecond
	if long() {
		accounts, turns, span = 100_000, 25, time.Second
	}
	s, _ := seeded(t, accounts)
	var alone, beside []time.Duration
	for range turns {
		alone = append(alone, writeTimes(t, s, span)...)
		ctx, cancel := context.WithCancel(t.Context())
		var backups sync.WaitGroup
		backups.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Backup(ctx, staged(t, t.TempDir())); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
		beside = append(beside, writeTimes(t, s, span)...)
		cancel()
		backups.Wait()
		await(t, "the end of the last one", func() bool { return !errors.Is(errOf(s.Backup(t.Context(), nil)), boltstore.ErrBackupRuns) })
	}
	slices.Sort(alone)
	slices.Sort(beside)
	p99 := func(all []time.Duration) time.Duration { return all[len(all)*99/100] }
	ratio := float64(p99(beside)) / float64(p99(alone))
	t.Logf("p99 of writes: %s alone (%d), %s beside backups (%d): ratio %.2f", p99(alone), len(alone), p99(beside),
		len(beside), ratio)
	if long() && ratio > 3 {
		t.Errorf("backups make the p99 of writes %.2f times as long", ratio)
	}
}

// writeTimes has 64 writers write for this long and returns how long each write took.
func writeTimes(t *testing.T, s *boltstore.Store, span time.Duration) (all []time.Duration) {
	var mu sync.Mutex
	var writers sync.WaitGroup
	end := time.Now().Add(span)
	for w := range 64 {
		writers.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				began := time.Now()
				_, err := s.Put(context.Background(), store.ID(fmt.Sprint("w", w)), store.Draft{Name: fmt.Sprint(n)}, store.Preconditions{})
				took := time.Since(began)
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	return all
}
