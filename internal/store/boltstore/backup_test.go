package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// staged is an empty file for a backup.
func staged(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, "backup-*.db")
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// large is a draft of about 16 KiB, or with a letter of three bytes of 48.
func large(name, letter string) store.Draft {
	d := store.Draft{Name: name, Labels: map[string]string{}}
	for i := range store.MaxLabels {
		d.Labels[fmt.Sprint("label", i)] = strings.Repeat(letter, store.MaxLabelLength)
	}
	return d
}

// heavy returns an open store of about this many MiB in the folder: its backup takes at least 15 ms for each.
func heavy(t testing.TB, dir string, mib int) *boltstore.Store {
	t.Helper()
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	var accounts []store.Account
	for i := range mib * 64 {
		accounts = append(accounts, store.Account{ID: store.ID(fmt.Sprintf("heavy-%05d", i)), Draft: large("heavy", "x")})
	}
	putRecords(t, s, accounts)
	return s
}

// copying runs a backup and waits until it copies; its result comes over the channel.
func copying(t *testing.T, s *boltstore.Store, to *os.File) <-chan error {
	t.Helper()
	return copyingUntil(t, context.Background(), s, to)
}

func copyingUntil(t *testing.T, ctx context.Context, s *boltstore.Store, to *os.File) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		err := boltstore.ErrBackupRuns
		for errors.Is(err, boltstore.ErrBackupRuns) { // one that was cancelled may still be ending
			err = errOf(s.Backup(ctx, to))
		}
		done <- err
	}()
	await(t, "the copy begins", func() bool {
		info, err := to.Stat()
		return err == nil && info.Size() > 1<<20
	})
	return done
}

func TestBackupIsCompactWholeAndServed(t *testing.T) {
	t.Parallel()
	path := worn(t)
	s := openAt(t, path)
	want, m := all(t, s), metaAt(t, path)
	to := staged(t, t.TempDir())
	v, err := s.Backup(t.Context(), to)
	must(t, err)
	if v.Accounts != len(want) || v.Transaction != m.TxID || v.Identity != identityOf(t, path) || v.FreePages > 5 {
		t.Errorf("got %d accounts, transaction %d, identity %s, %d free pages", v.Accounts, v.Transaction, v.Identity, v.FreePages)
	}
	must(t, to.Close()) // it is locked until then
	wantIntact(t, to.Name())
	copied := openAt(t, to.Name())
	if got := all(t, copied); !slices.EqualFunc(got, want, store.Account.Equal) {
		t.Errorf("got %d accounts, want %d", len(got), len(want))
	}
	storetest.Close(t, s)
	offline := staged(t, t.TempDir())
	w, err := boltstore.BackupFile(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second}, offline)
	if err != nil || w.Accounts != len(want) || w.Transaction < v.Transaction {
		t.Errorf("of the file: %d accounts, transaction %d, %v", w.Accounts, w.Transaction, err)
	}
	must(t, offline.Close())
	wantIntact(t, offline.Name())
}

func TestBackupsOneAfterAnother(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "accounts.db"))
	to := staged(t, t.TempDir())
	for range 200 {
		must(t, errOf(s.Backup(t.Context(), to)))
	}
}

// A write of TestBackupIsAPrefixOfTheWrites, with when it began and was acknowledged by a clock that all writers share.
type stamped struct {
	id         store.ID
	version    int64
	began, ack int64
}

// TestBackupIsAPrefixOfTheWrites has 64 writers create accounts and change one each while backups are made. What a
// backup has must be what one moment had: no write is missing that was acknowledged before another one began that is
// there. The long run makes more backups, of many small accounts.
func TestBackupIsAPrefixOfTheWrites(t *testing.T) {
	t.Parallel()
	var s *boltstore.Store
	accounts, backups := 4*64, 2
	if long() {
		accounts, backups = 20_000, 4
		s, _ = seeded(t, accounts)
	} else {
		s = heavy(t, t.TempDir(), accounts/64)
	}
	var clock atomic.Int64
	var mu sync.Mutex
	var writes []stamped
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 64 {
		writers.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				for _, id := range []store.ID{store.ID(fmt.Sprintf("w%d", w)), store.ID(fmt.Sprintf("w%d-%d", w, n))} {
					began := clock.Add(1)
					written, err := s.Put(context.Background(), id, store.Draft{Name: fmt.Sprint(n)}, store.Preconditions{})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					writes = append(writes, stamped{id, written.Account.Version, began, clock.Add(1)})
					mu.Unlock()
				}
			}
		})
	}
	var copies []*os.File
	for len(copies) < backups {
		to := staged(t, t.TempDir())
		v, err := s.Backup(t.Context(), to)
		must(t, err)
		if v.Accounts < accounts {
			t.Errorf("%d accounts", v.Accounts)
		}
		copies = append(copies, to)
	}
	stop()
	writers.Wait()
	for i, to := range copies {
		must(t, to.Close()) // it is locked until then
		has := map[store.ID]int64{}
		for _, acc := range all(t, openAt(t, to.Name())) {
			has[acc.ID] = acc.Version
		}
		present, lastBegun := 0, int64(0)
		firstMissing := stamped{ack: 1 << 62}
		for _, w := range writes {
			switch {
			case has[w.id] >= w.version:
				present++
				lastBegun = max(lastBegun, w.began)
			case w.ack < firstMissing.ack:
				firstMissing = w
			}
		}
		t.Logf("copy %d has %d of %d writes", i, present, len(writes))
		if firstMissing.ack < lastBegun {
			t.Errorf("copy %d lacks %+v, and has a write that began at %d", i, firstMissing, lastBegun)
		}
	}
}

func TestDamageEndsABackupAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, path := heavy(t, dir, 4), filepath.Join(dir, "accounts.db")
	leaf, _ := leafOf(t, path, []byte("heavy-00100"))
	spoil(t, path, int64(leaf.ID)*metaAt(t, path).PageSize, []byte("damage"))
	wantErr(t, errOf(s.Backup(t.Context(), staged(t, t.TempDir()))), boltstore.ErrDamaged, fmt.Sprintf("page %d is damaged", leaf.ID))
	must(t, s.Failure())
	must(t, putName(t, s, "other", "other"))
}

func TestBackupToAFullDiskHarmsNothing(t *testing.T) {
	t.Parallel()
	s := heavy(t, t.TempDir(), 8)
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=4m")
	if _, err := s.Backup(t.Context(), staged(t, dir)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the backup to a full disk gives %v", err)
	}
	must(t, s.Failure())
	must(t, errOf(s.Backup(t.Context(), staged(t, t.TempDir()))))
}

// nearlyMapped is an open store of 64 MiB whose next large accounts outgrow the map, and what makes them outgrow it. That
// returns how long the slowest write took.
func nearlyMapped(t *testing.T) (s *boltstore.Store, outgrow func() time.Duration) {
	t.Helper()
	dir := t.TempDir()
	s = heavy(t, dir, 40)
	must(t, s.RemapForTest(1<<20))
	pages := func() int64 { return metaAt(t, filepath.Join(dir, "accounts.db")).HighWater }
	const mapped = 64 << 20 / 4096 // what bbolt maps of a file of more than 32 MiB
	for n := 0; pages() < mapped-200; n++ {
		var more []store.Account
		for i := range 16 {
			more = append(more, store.Account{ID: store.ID(fmt.Sprint("more-", n, "-", i)), Draft: large("more", "x")})
		}
		putRecords(t, s, more)
	}
	if pages() >= mapped {
		t.Fatalf("the map has grown already: %d pages", pages())
	}
	return s, func() (slowest time.Duration) {
		for n := 0; pages() < mapped+10; n++ {
			began := time.Now()
			must(t, errOf(s.Put(t.Context(), store.ID(fmt.Sprint("grown-", n)), large("grown", "x"), store.Preconditions{})))
			slowest = max(slowest, time.Since(began))
		}
		return slowest
	}
}

func TestWriteThatNeedsALargerMapEndsTheReadTransaction(t *testing.T) {
	s, outgrow := nearlyMapped(t)
	done := copying(t, s, staged(t, t.TempDir()))
	slowest := outgrow()
	select {
	case err := <-done:
		t.Fatalf("the backup was done before the map grew: %v", err)
	default:
	}
	if slowest > 700*time.Millisecond { // the backup takes longer than a second
		t.Errorf("a write took %s", slowest)
	}
	if err := <-done; err != nil {
		t.Errorf("the backup does not begin again: %v", err)
	}
}

func TestWriteWithoutRoomEndsABackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=100m")
	s := heavy(t, dir, 40)
	to := staged(t, t.TempDir())
	done := copying(t, s, to)
	filler := harness.Fill(t, dir)
	full := false
	for n := 0; n < 10000 && !full; n++ {
		_, err := s.Put(t.Context(), store.ID(fmt.Sprint("more-", n)), large("more", "x"), store.Preconditions{})
		full = errors.Is(err, store.ErrNoSpace)
	}
	if !full {
		t.Fatal("the disk never got full")
	}
	must(t, os.Remove(filler))
	wantWords(t, <-done, "found no room")
	must(t, putName(t, s, "again", "again"))
}

func TestBackupEndsWithTheStoreAndItsContext(t *testing.T) {
	s := heavy(t, t.TempDir(), 40)
	ctx, cancel := context.WithCancel(t.Context())
	done := copyingUntil(t, ctx, s, staged(t, t.TempDir()))
	wantErr(t, errOf(s.Backup(t.Context(), nil)), boltstore.ErrBackupRuns)
	cancel()
	wantErr(t, <-done, context.Canceled)
	done2 := copying(t, s, staged(t, t.TempDir()))
	began := time.Now()
	storetest.Close(t, s)
	if err := <-done2; err == nil || time.Since(began) > time.Second {
		t.Errorf("the backup ends with %v, and the store after %s", err, time.Since(began))
	}
}

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
