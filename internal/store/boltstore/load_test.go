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
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// clients write and read until they are stopped, whatever they are answered.
type clients struct {
	mu    sync.Mutex
	acked map[store.ID]store.Account
	next  atomic.Int64 // number of the next new account
	stop  context.CancelFunc
	all   sync.WaitGroup
}

// start lets 16 writers put new accounts, and 4 readers read what was acknowledged.
func (c *clients) start(t *testing.T, s *boltstore.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c.stop = cancel
	t.Cleanup(c.end)
	for range 16 {
		c.all.Go(func() {
			for ctx.Err() == nil {
				w, err := s.Put(t.Context(), store.ID(fmt.Sprint("new-", c.next.Add(1))), store.Draft{Name: "x"}, store.Preconditions{})
				switch {
				case err == nil:
					c.mu.Lock()
					c.acked[w.Account.ID] = w.Account
					c.mu.Unlock()
					continue
				case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrOutcomeUnknown), errors.Is(err, store.ErrNoSpace):
				default:
					t.Errorf("Put = %v", err)
				}
				time.Sleep(time.Millisecond) // as clients that try again do
			}
		})
	}
	for range 4 {
		c.all.Go(func() {
			for ctx.Err() == nil {
				acc, err := s.Get(t.Context(), "10000")
				if err == nil && acc.Name != "Person_0" || err != nil && !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Get = %+v, %v", acc, err)
					return
				}
			}
		})
	}
}

// more waits until that many more writes were acknowledged.
func (c *clients) more(t *testing.T, n int) {
	t.Helper()
	from := c.count()
	await(t, fmt.Sprint(n, " more writes"), func() bool { return c.count() >= from+n })
}

func (c *clients) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (c *clients) end() {
	c.stop()
	c.all.Wait()
}

// restarted closes the store, as a restart does, opens it again and counts what is
// missing there of what was acknowledged.
func (c *clients) restarted(t *testing.T, s *boltstore.Store, path string) *boltstore.Store {
	t.Helper()
	c.end()
	storetest.Close(t, s)
	s = openAt(t, path)
	there := make(map[store.ID]store.Account)
	for _, acc := range all(t, s) {
		there[acc.ID] = acc
	}
	lost := 0
	for id, acc := range c.acked {
		if !there[id].Equal(acc) {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged accounts are lost", lost, len(c.acked))
	}
	return s
}

// rounds is how often a loss is played.
func rounds() int {
	if long() {
		return 50
	}
	return 2
}

var losses = map[string]func(t *testing.T, path string){
	"deleted":    func(t *testing.T, p string) { must(t, os.Remove(p)) },
	"moved away": func(t *testing.T, p string) { must(t, os.Rename(p, fmt.Sprint(p, ".moved", time.Now().UnixNano()))) },
	"all files of its folder deleted": func(t *testing.T, p string) {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(p), "*"))
		must(t, err)
		for _, name := range names {
			must(t, os.RemoveAll(name))
		}
	},
}

// loseUnderLoad lets lose take the file away from a store under load, again and again, each time until Check fails with
// these words, and then restarts it.
func loseUnderLoad(t *testing.T, s *boltstore.Store, path, words string, lose func(*boltstore.Store)) {
	t.Helper()
	c := clients{acked: make(map[store.ID]store.Account)}
	for range rounds() {
		c.start(t, s)
		c.more(t, 50)
		lose(s)
		awaitFailure(t, s, words)
		s = c.restarted(t, s, path)
	}
	t.Logf("%d acknowledged accounts, none lost", len(c.acked))
	wantFiles(t, filepath.Join(filepath.Dir(path), "*resc*"), 0)
}

func TestLossUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 1000)
			loseUnderLoad(t, s, path, "accounts were put back", func(*boltstore.Store) { lose(t, path) })
		})
	}
}

func TestLossUnderLoadOnAFullDiskLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=64m")
	path := filepath.Join(dir, "accounts.db")
	loseUnderLoad(t, seededAt(t, path, 1000), path, "accounts were put back", func(s *boltstore.Store) {
		filler := harness.Fill(t, dir)
		must(t, os.Remove(path))
		awaitUnsaved(t, s, "free some space")
		wantName(t, s, "10000", "Person_0")
		must(t, os.Remove(filler))
	})
}

// The file comes back over the copy that was put at its path, or on a slow machine before that.
func TestFileMovedAwayAndBackUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 1000)
	c := clients{acked: make(map[store.ID]store.Account)}
	for range rounds() {
		c.start(t, s)
		c.more(t, 50)
		must(t, os.Rename(path, path+".moved"))
		<-time.After(600 * time.Millisecond)
		must(t, os.Rename(path+".moved", path))
		from := c.count()
		await(t, "a failure, or service", func() bool { return s.Failure() != nil || c.count() > from })
		s = c.restarted(t, s, path)
	}
}

// awaitFailure waits until Check fails with these words.
func awaitFailure(t *testing.T, s *boltstore.Store, words string) {
	t.Helper()
	awaitError(t, func() error { return s.Check(t.Context()) }, words)
}

// awaitUnsaved waits until the accounts could not be saved, which is no reason to end the process.
func awaitUnsaved(t *testing.T, s *boltstore.Store, words string) {
	t.Helper()
	awaitError(t, func() error { must(t, s.Check(t.Context())); return s.CheckRecords(t.Context()) },
		words, "do not stop this process")
}

// awaitError waits until f gives an error with all these words.
func awaitError(t *testing.T, f func() error, words ...string) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Logf("the last error was %s", last)
		}
	}()
	await(t, fmt.Sprintf("an error with %q", words), func() bool {
		last = fmt.Sprint(f())
		return !slices.ContainsFunc(words, func(want string) bool { return !strings.Contains(last, want) })
	})
}
