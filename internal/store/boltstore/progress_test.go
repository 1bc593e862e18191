package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

// ticking returns a latency of these bounds whose clock runs until the test ends.
func ticking(t *testing.T, slow, hung time.Duration) *latency {
	l := newLatency(slow, hung)
	stop := make(chan struct{})
	l.run(stop)
	t.Cleanup(func() { close(stop); l.running.Wait() })
	return l
}

func TestSlowRunOfACheckPassesAndOneWithoutProgressFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := flight{progress: progress{latency: ticking(t, 3*time.Second, 10*time.Second)}, wait: 500 * time.Millisecond}
		answers, result := make(chan struct{}), make(chan error)
		runs := 0
		run := func() error {
			runs++
			for range answers {
				f.answered()
			}
			return <-result
		}
		ask := func() error {
			began := time.Now()
			err := f.ask(t.Context(), run)
			if took := time.Since(began); took > f.wait {
				t.Errorf("answered after %s", took)
			}
			time.Sleep(2*time.Second - time.Since(began)) // of the bubble
			return err
		}
		for n := range 30 { // a minute of answers that take 2 s each
			if err := ask(); failed(err) || n > 0 && err == nil {
				t.Fatalf("late but progressing: %v, want a warning", err)
			}
			answers <- struct{}{}
		}
		if got := f.slowest(); got < 1900*time.Millisecond || got > 2100*time.Millisecond {
			t.Errorf("the slowest answer took %s, want 2 s", got)
		}
		for began := time.Now(); ; {
			err, quiet := ask(), time.Since(began)
			if failed(err) != (quiet > 11*time.Second) && (quiet < 9*time.Second || quiet > 13*time.Second) {
				t.Errorf("without an answer for %s: %v", quiet, err)
			}
			if quiet > 15*time.Second {
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%v, want ErrUnavailable", err)
				}
				break
			}
		}
		close(answers)
		result <- errors.New("damaged")
		synctest.Wait()
		for range 2 { // the result, and while the next run is under way
			if err := ask(); err == nil || err.Error() != "damaged" {
				t.Errorf("got %v, want the result of the last run that ended", err)
			}
		}
		result <- nil
		synctest.Wait()
		must(t, ask())
		if runs != 2 {
			t.Errorf("%d runs, want 2", runs)
		}
	})
}

func TestSlowAnswersAreRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{latency: ticking(t, 3*time.Second, 10*time.Second)}
		s.reads = &pageReads{latency: s.latency}
		s.check.latency, s.walk.latency = s.latency, s.latency
		s.committer = &committer{progress: progress{latency: s.latency}}
		write := func(took time.Duration) {
			s.committer.begin()
			time.Sleep(took) // of the bubble
			s.committer.end()
		}
		want := func(took time.Duration, words string, fails bool) {
			t.Helper()
			write(took)
			err := s.CheckLatency(t.Context())
			if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) || failed(err) != fails {
				t.Errorf("after an answer of %s: %v, want %q", took, err, words)
			}
		}
		want(200*time.Millisecond, "", false)
		want(400*time.Millisecond, "took up to ", false)
		want(4500*time.Millisecond, "longer than checks.bolt.slow_after (3s)", true)
		want(400*time.Millisecond, "longer than checks.bolt.slow_after (3s)", true)
		time.Sleep(time.Minute)
		want(400*time.Millisecond, "took up to ", false)
	})
}

// hangingFile answers the reads at one place when it is released.
type hangingFile struct {
	at      int64
	release chan struct{}

	mu    sync.Mutex
	reads map[int64]int
}

func (f *hangingFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	f.reads[off]++
	f.mu.Unlock()
	if off == f.at {
		<-f.release
	}
	return copy(p, bytes.Repeat([]byte{byte(off)}, len(p))), nil
}

func TestPageThatHangsHoldsOneReadAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &hangingFile{at: 2, release: make(chan struct{}), reads: make(map[int64]int)}
		r := &pageReads{latency: ticking(t, 3*time.Second, 10*time.Second), underWay: make(map[place]*pageRead)}
		read := func(off int64, patience time.Duration) ([]byte, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			p := make([]byte, 3)
			n, err := sharedFile{file, r, ctx}.ReadAt(p, off)
			return p[:n], err
		}
		var all sync.WaitGroup
		right := func(off int64, patience time.Duration) {
			if p, err := read(off, patience); err != nil || !bytes.Equal(p, bytes.Repeat([]byte{byte(off)}, 3)) {
				t.Errorf("page %d: %v %v", off, p, err)
			}
		}
		all.Go(func() { right(2, time.Hour) }) // holds a thread
		synctest.Wait()
		for range 100 {
			all.Go(func() {
				if _, err := read(2, 4*time.Second); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a reader that waits = %v, want its deadline", err)
				}
			})
		}
		time.Sleep(4500 * time.Millisecond) // of the bubble
		right(1, time.Second)
		if held, longest := r.held(); held != 0 || longest < 4*time.Second {
			t.Errorf("%d held, for %s, want none yet", held, longest)
		}
		time.Sleep(time.Second)
		if held, _ := r.held(); held != 1 {
			t.Errorf("%d held, want 1", held)
		}
		began := time.Now()
		if _, err := read(2, time.Hour); err == nil || time.Since(began) != 0 {
			t.Errorf("a read of a page that is known to hang = %v after %s", err, time.Since(began))
		}
		close(file.release)
		all.Wait()
		right(2, time.Second)
		if held, _ := r.held(); held != 0 || file.reads[2] != 2 {
			t.Errorf("%d held, %d reads, want none and 2", held, file.reads[2])
		}
	})
}

// stuckAt is a file whose reads at some places wait until it is released.
type stuckAt struct {
	io.ReaderAt
	at      []int64
	release chan struct{}
}

func (f stuckAt) ReadAt(p []byte, off int64) (int, error) {
	if slices.Contains(f.at, off) {
		<-f.release
	}
	return f.ReaderAt.ReadAt(p, off)
}

// stick makes the leaves of these accounts hang for the committer, until what it returns is closed.
func stick(t *testing.T, s *Store, ids ...string) (release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
		accounts, err := s.h.snapshot(tx, s.h.file).Bucket(boltfile.AccountBucket)
		must(t, err)
		file := stuckAt{ReaderAt: s.h.file, release: release}
		for _, id := range ids {
			leaf, _, err := accounts.Leaf([]byte(id))
			must(t, err)
			file.at = append(file.at, int64(leaf.ID)*s.h.pageSize)
		}
		s.committer.touch(sharedFile{file, s.reads, t.Context()}, boltfile.Cached{})
		return errUnchanged
	}))
	return release
}

// No read of the page came before the write, so that it is the write that waits for the disk first.
func TestPageThatHangsHoldsUpNoWriteOfAnother(t *testing.T) {
	t.Parallel()
	s := opened(t, 2000, Options{SlowAfter: 150 * time.Millisecond, HungAfter: 2 * time.Second})
	put := func(id store.ID) error {
		_, err := s.Put(t.Context(), id, store.Draft{Name: "x"}, store.Preconditions{})
		return err
	}
	release := stick(t, s, "11000")
	for range 3 {
		if err := put("11000"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the write of what hangs = %v, want ErrUnavailable", err)
		}
		must(t, errors.Join(put("10000"), s.Check(t.Context())))
	}
	if held, _ := s.reads.held(); held != 1 {
		t.Errorf("%d reads are held, want 1", held)
	}
	close(release)
	if !harness.Until(10*time.Second, func() bool { return put("11000") == nil }) {
		t.Error("no write after the disk has answered")
	}
}

// One after the other would be waited for otherwise, with all other writes behind them.
func TestPagesThatHangAreWaitedForTogether(t *testing.T) {
	t.Parallel()
	s := opened(t, 2000, Options{SlowAfter: 150 * time.Millisecond, HungAfter: 2 * time.Second})
	var ids []string
	for n := range 19 {
		ids = append(ids, fmt.Sprint(10100+100*n))
	}
	defer close(stick(t, s, ids...))
	put := func(id string) error {
		_, err := s.Put(t.Context(), store.ID(id), store.Draft{Name: "x"}, store.Preconditions{})
		return err
	}
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			if err := put(id); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("the write of what hangs = %v, want ErrUnavailable", err)
			}
		})
	}
	began := time.Now()
	all.Wait()
	must(t, put("10000"))
	if took := time.Since(began); took > 12*time.Second { // half of HungAfter for each is 19 s
		t.Errorf("another write has waited %s", took)
	}
}

func TestRequestsAreRefusedWhileTheDiskHangs(t *testing.T) {
	s := opened(t, 10, Options{SlowAfter: 150 * time.Millisecond, HungAfter: 300 * time.Millisecond})
	get := func() error { _, err := s.Get(t.Context(), "10000"); return err }
	put := func() error {
		_, err := s.Put(t.Context(), "10000", store.Draft{Name: "x"}, store.Preconditions{})
		return err
	}
	must(t, get())
	s.check.begin() // as a run whose pread hangs
	harness.Until(30*time.Second, func() bool { return get() != nil })
	if _, known := s.Peek("10000"); known || !errors.Is(get(), store.ErrUnavailable) || !errors.Is(put(), store.ErrUnavailable) {
		t.Errorf("Peek knows the account: %v; Get = %v, Put = %v", known, get(), put())
	}
	s.check.end()
	must(t, errors.Join(get(), put()))
}

// Each write of a commit is progress: on a disk that takes a second for each, a large commit takes long.
func TestEachWriteOfACommitIsProgress(t *testing.T) {
	t.Parallel()
	s := opened(t, 10, Options{})
	var order []string
	s.h.writes.began, s.h.writes.answered = func() { order = append(order, "begins") }, func() { order = append(order, "answered") }
	for range 2 {
		order = nil
		must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.AccountBucket).Put([]byte("1"), make([]byte, 100_000))
		}))
		answers := slices.Repeat([]string{"answered"}, 2*4) // at least accounts, root, free pages, meta; the flush
		if len(order) < 1+len(answers) || order[0] != "begins" || slices.Contains(order[1:], "begins") || s.h.db.NoSync {
			t.Errorf("%v, want one beginning and at least %d answers; NoSync %v afterwards", order, len(answers), s.h.db.NoSync)
		}
	}
}
