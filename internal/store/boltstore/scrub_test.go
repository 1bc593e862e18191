package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

func init() {
	childProcesses["say that it runs, and wait for its parent"] = func(args []string) {
		os.WriteFile(args[0], nil, 0o600)
		io.Copy(io.Discard, os.Stdin)
	}
	childProcesses["scrub with a worker that hangs"] = func(args []string) {
		s, err := Open(context.Background(), Options{Path: args[0], OpenTimeout: 5 * time.Second})
		if err != nil {
			panic(err)
		}
		panic(s.Scrub(context.Background(), 0, func(string) *exec.Cmd {
			return child("say that it runs, and wait for its parent", args[1])
		}))
	}
}

func verifyChild(path string) *exec.Cmd { return child("verify", path) }

// alone wants nothing in the folder but the database and its witness.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("folder has %v, %v; want the database and its witness", entries, err)
	}
}

func TestScrubBesideWritersFindsNothing(t *testing.T) {
	s, path := seeded(t, 5000)
	c := clientsOf(t, s, 5000)
	for range 3 {
		if err := s.Scrub(t.Context(), 0, verifyChild); err != nil {
			t.Error(err)
		}
		c.more(t, 1)
	}
	c.end()
	alone(t, path)
}

// These damages are of no record and on no way to one, so no other check sees them.
func TestScrubFindsWhatNoOtherCheckReads(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, s *Store, m meta)
		want string
	}{
		"a page in use on the list of free pages": {func(t *testing.T, s *Store, m meta) {
			accounts := accountsRoot(t, s)
			entry := make([]byte, 8)
			binary.NativeEndian.PutUint64(entry, accounts)
			spoil(t, s.path, int64(m.freelist)*m.pageSize+pageHeader, entry)
		}, "in use and on the list of free pages"},
		"a page that is neither in use nor free": {func(t *testing.T, s *Store, m meta) {
			at := int64(m.freelist)*m.pageSize + 10
			count := make([]byte, 2)
			_, err := s.handle().file.ReadAt(count, at)
			must(t, err)
			count[0]--
			spoil(t, s.path, at, count)
		}, "neither in use nor free"},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 2000)
			for n := range 5 { // so that some pages are free
				_, err := s.Put(t.Context(), "10007", store.Draft{Name: fmt.Sprint(n)}, store.Preconditions{})
				must(t, err)
			}
			m, err := inspectFile(s.handle().file)
			must(t, err)
			c.do(t, s, m)
			if err := errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())); err != nil {
				t.Fatalf("the other checks: %v", err)
			}
			if err := s.Scrub(t.Context(), 0, verifyChild); err == nil || errors.Is(err, ErrNotScrubbed) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Scrub = %v, want %q", err, c.want)
			}
			alone(t, path)
		})
	}
}

func TestScrubFindsAPageThatIsUsedTwice(t *testing.T) {
	s, _ := seeded(t, 2000)
	root := int64(accountsRoot(t, s)) * s.handle().pageSize
	second := make([]byte, 8)
	_, err := s.handle().file.ReadAt(second, root+pageHeader+elementSize+8)
	must(t, err)
	spoil(t, s.path, root+pageHeader+8, second)
	if err := s.Scrub(t.Context(), 0, verifyChild); err == nil || errors.Is(err, ErrNotScrubbed) {
		t.Errorf("Scrub = %v, want damage", err)
	}
}

// accountsRoot is the page of the root of the accounts, a branch.
func accountsRoot(t *testing.T, s *Store) (page uint64) {
	t.Helper()
	_, err := read(s, func(snap snapshot) (store.ID, error) {
		accounts, err := snap.bucket(accountBucket)
		page = accounts.root
		return "", err
	})
	must(t, err)
	return page
}

func TestScrubWithoutAVerdictSaysSoAndLeavesNothing(t *testing.T) {
	s, path := seeded(t, 20000)
	minute, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	// the committer is held, so that it does not say when it is busy: the test does
	hold, held, released := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(released)
		s.update(minute, nil, func(*bbolt.Tx) error { close(held); <-hold; return store.ErrNotFound })
	}()
	<-held
	long := time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		ctx     context.Context
		minFree int64
		worker  func(string) *exec.Cmd
		busy    *time.Time
		want    string
	}{
		"killed for want of memory": {minute, 0, func(string) *exec.Cmd { return child("be killed") }, nil, "killed"},
		"hangs":                     {brief, 0, func(string) *exec.Cmd { return child("hang") }, nil, "deadline exceeded"},
		"cannot be started":         {minute, 0, func(string) *exec.Cmd { return exec.Command(path + ".none") }, nil, "no such file"},
		"no space":                  {minute, 1 << 60, verifyChild, nil, "checks.scrub.interval"},
		"a write waits for it":      {minute, 0, verifyChild, &long, "gave way to a write"},
		"told to stop":              {ended, 0, verifyChild, nil, "context canceled"},
	} {
		s.busy.Store(c.busy)
		err := s.Scrub(c.ctx, c.minFree, c.worker)
		s.busy.Store(nil)
		if !errors.Is(err, ErrNotScrubbed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Scrub = %v, want no verdict and %q", name, err, c.want)
		}
		alone(t, path)
	}
	close(hold)
	<-released
	if _, err := s.Put(t.Context(), "after", store.Draft{Name: "x"}, store.Preconditions{}); err != nil {
		t.Errorf("Put afterwards: %v", err)
	}
	if err := s.Scrub(minute, 0, verifyChild); err != nil {
		t.Error(err)
	}
	if err := s.Close(minute); err != nil { // it waits for readers
		t.Error(err)
	}
}

func TestKilledProcessLeavesNoCopy(t *testing.T) {
	path := closedFile(t, 20000)
	runs := filepath.Join(t.TempDir(), "runs")
	process := child("scrub with a worker that hangs", path, runs)
	must(t, process.Start())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(runs); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the worker never ran")
		}
	}
	must(t, process.Process.Kill())
	process.Wait()
	alone(t, path)
}

func TestCopyTakesTheTimeOfItsRate(t *testing.T) {
	for _, c := range []struct {
		size int64
		want time.Duration
	}{{64 << 20, time.Second}, {96 << 20, 1500 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			f, err := os.CreateTemp(t.TempDir(), "copy")
			must(t, err)
			defer f.Close()
			w := &slowWriter{ctx: t.Context(), to: f, begun: time.Now(), rate: scrubRate, busy: func() *time.Time { return nil }}
			for range c.size / (32 << 10) {
				_, err := w.Write(make([]byte, 32<<10))
				must(t, err)
			}
			// the last step is not waited for
			if took := time.Since(w.begun); took > c.want || took < c.want*9/10 {
				t.Errorf("%d MiB took %s, want %s", c.size>>20, took, c.want)
			}
		})
	}
}

func TestCopyThatTakesTooLongIsGivenUp(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "copy")
	must(t, err)
	defer f.Close()
	w := &slowWriter{ctx: t.Context(), to: f, begun: time.Now().Add(-4 * scrubCopy), rate: scrubRate, busy: func() *time.Time { return nil }, written: scrubStep}
	if _, err := w.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "gave up") {
		t.Errorf("Write = %v, want it to be given up", err)
	}
}
