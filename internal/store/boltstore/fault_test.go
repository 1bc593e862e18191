package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// faults are done to the file under an open store.
var faults = map[string]struct {
	do   func(t *testing.T, path string)
	want string // in Check's error
}{
	"deleted":    {func(t *testing.T, p string) { must(t, os.Remove(p)) }, "deleted or moved away"},
	"moved away": {func(t *testing.T, p string) { must(t, os.Rename(p, p+".old")) }, "deleted or moved away"},
	"replaced": {func(t *testing.T, p string) {
		_, other := seeded(t, 3)
		must(t, os.Rename(other, p))
	}, "another file was put"},
	"cut to 0":    {func(t *testing.T, p string) { must(t, os.Truncate(p, 0)) }, "is empty"},
	"cut to 8192": {func(t *testing.T, p string) { must(t, os.Truncate(p, 8192)) }, "is cut short"},
	"cut to half": {func(t *testing.T, p string) { must(t, os.Truncate(p, metaAt(t, p).Size()/2)) }, "is cut short"},
	"overwritten with zeros": {func(t *testing.T, p string) {
		info, err := os.Stat(p)
		must(t, err)
		must(t, os.Truncate(p, 0))
		must(t, os.Truncate(p, info.Size()))
	}, "both its meta pages are damaged"},
}

func TestCheckFindsWhatHappenedToTheFile(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 2000)
			must(t, s.Check(t.Context()))
			fault.do(t, path)
			var err error // a file that is gone is saved first
			await(t, "a failing Check", func() bool { err = s.Check(t.Context()); return err != nil })
			wantWords(t, err, fault.want)
		})
	}
}

// Requests come before the check has seen the fault, and many at once.
func TestRequestsOnABrokenFileEndInTime(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 2000)
			before := runtime.NumGoroutine()
			fault.do(t, path)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					id := store.ID(fmt.Sprint(10000 + i*40))
					if _, err := s.Get(ctx, id); err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Get = %v, want ErrUnavailable", err)
					}
					_, err := s.Put(ctx, id, store.Draft{Name: "lost"}, store.Preconditions{})
					if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrOutcomeUnknown) {
						t.Errorf("Put = %v, want ErrUnavailable or ErrOutcomeUnknown", err)
					}
				})
			}
			wg.Wait()
			must(t, s.Close(ctx))
			if err := s.Check(t.Context()); err == nil {
				t.Errorf("Check of a store that failed says nothing")
			}
			if after := runtime.NumGoroutine(); after > before+64 {
				t.Errorf("%d goroutines, %d before", after, before)
			}
		})
	}
}

// What is removed can leave a page so empty that bbolt merges it with the one
// beside it, which it would read through the map and die of.
func TestRemovalBesideADamagedPageIsRefusedAndNothingElse(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 2000)
	damaged, next := leafOf(t, path, []byte("10500"))
	before, _ := leafOf(t, path, []byte("10000"))
	spoil(t, path, int64(damaged.ID)*metaAt(t, path).PageSize+8, []byte{0xa5, 0xa5})
	first, err := strconv.Atoi(string(next))
	must(t, err)
	for id := first; id < 10999; id++ { // all of the page behind it
		err := s.Delete(t.Context(), store.ID(strconv.Itoa(id)), store.Preconditions{})
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("Delete %d = %v", id, err)
		}
	}
	must(t, s.Check(t.Context()))
	must(t, putName(t, s, store.ID(before.Key(0)), "after"))
	wantErr(t, s.Delete(t.Context(), store.ID(next), store.Preconditions{}), store.ErrUnavailable, "is damaged")
}

func TestAWriterUnderWayIsNoFault(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				s.Put(ctx, store.ID(fmt.Sprintf("%d-%d", w, i%50)), store.Draft{Name: strings.Repeat("x", i%200+1)}, store.Preconditions{})
			}
		})
	}
	for range 300 {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check beside writers: %v", err)
			break
		}
	}
	cancel()
	writers.Wait()
}

func TestFullDiskRefusesWritesKeepsReadsAndHeals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=4m")
	path := filepath.Join(dir, "accounts.db")
	s := seededAt(t, path, 1000)
	filler := harness.Fill(t, dir)
	c := refusedCommits{s: s, acked: make(map[store.ID]bool)}
	for c.refusal < 10 { // small commits fit into pages that are free already, for a while
		if _, err := c.put(t); err != nil {
			wantErr(t, err, store.ErrNoSpace)
			c.refusal++
		} else if c.n == 2000 {
			t.Fatal("the disk never filled")
		}
	}
	must(t, errOf(s.Get(t.Context(), "10500")))
	must(t, s.Check(t.Context())) // a full disk is no reason to restart
	must(t, os.Remove(filler))
	must(t, errOf(c.put(t)))
	c.judge(t, path)
}

func TestDamagedListOfFreePagesIsFoundBeforeACommitBelievesIt(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	m := metaAt(t, path)
	spoil(t, path, int64(m.Freelist)*m.PageSize+8, []byte{0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5})
	wantErr(t, putName(t, s, "10000", "x"), store.ErrUnavailable, "free pages")
}

// What costs some accounts costs a start no more. What a later write could make worse is not served.
func TestDamagedCopyIsServedOnlyIfTheDamageCannotGrow(t *testing.T) {
	t.Parallel()
	flipIn := func(bucket, key []byte) func(*testing.T, *boltstore.Store, string) {
		return func(t *testing.T, s *boltstore.Store, _ string) { must(t, s.CommitForTest(flip(bucket, key))) }
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, s *boltstore.Store, path string)
		want   string
		served bool
	}{
		"an account": {flipIn(boltfile.AccountBucket, []byte("10005")), `account "10005"`, true},
		"an answer":  {flipIn(boltfile.AnswerBucket, boltfile.AnswerKey("key")), "answer ", true},
		"the list of free pages": {func(t *testing.T, s *boltstore.Store, path string) {
			m := metaAt(t, path)
			spoil(t, path, int64(m.Freelist)*m.PageSize+boltfile.HeaderSize, []byte{3}) // a page that is in use
		}, "page", false},
		"the identity": {flipIn(boltfile.MetaBucket, boltfile.IdentityKey), "identity", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 3000)
			putOnce(t, s, "10000", "key")
			for i := range 20 { // so that pages are free
				must(t, s.Delete(t.Context(), store.ID(fmt.Sprint(11000+i*100)), store.Preconditions{}))
			}
			c.damage(t, s, path)
			must(t, os.Remove(path))
			await(t, "the latch", func() bool { return s.Failure() != nil })
			where := "are kept in " + path + ".rescued-"
			if c.served {
				where = "accounts were put back at the path"
			}
			wantWords(t, s.Failure(), where, "the copy is damaged: ", c.want)
			if _, err := os.Stat(path); (err == nil) != c.served {
				t.Errorf("at the path: %v, want the copy there: %v", err, c.served)
			}
		})
	}
}

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
