package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/internal/store"
)

// clients write and read until they are stopped, whatever they are answered.
type clients struct {
	mu      sync.Mutex
	acked   map[store.ID]store.Account
	refused int
	reads   atomic.Int64
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// clientsOf starts 16 writers of new accounts and 4 readers of seeded ones, who
// must never be refused.
func clientsOf(t *testing.T, s *Store, seeds int) *clients {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{acked: make(map[store.ID]store.Account), stop: cancel}
	t.Cleanup(c.end)
	for w := range 16 {
		c.all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				w, err := s.Put(t.Context(), store.ID(fmt.Sprintf("w%d-%d", w, i)), store.Draft{Name: "x"}, store.Preconditions{})
				c.mu.Lock()
				switch {
				case err == nil:
					c.acked[w.Account.ID] = w.Account
				case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrOutcomeUnknown):
					c.refused++
				default:
					t.Errorf("Put = %v", err)
				}
				c.mu.Unlock()
				if err != nil {
					time.Sleep(time.Millisecond) // as clients that try again do
				}
			}
		})
	}
	for r := range 4 {
		c.all.Go(func() {
			for i := r; ctx.Err() == nil; i++ {
				n := i % seeds
				acc, err := s.Get(t.Context(), store.ID(fmt.Sprint(10000+n)))
				if err != nil && strings.Contains(err.Error(), "its disk has not answered") {
					time.Sleep(time.Millisecond) // so it is, on a machine as busy as that
					continue
				}
				if err != nil || acc.Name != fmt.Sprint("Person_", n) {
					t.Errorf("Get %d = %+v, %v; want it served throughout", n, acc, err)
					return
				}
				c.reads.Add(1)
			}
		})
	}
	return c
}

// more waits until that many more writes were acknowledged.
func (c *clients) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked)
	}
	from := count()
	await(t, fmt.Sprint(n, " more writes"), func() bool { return count() >= from+n })
}

func (c *clients) end() {
	c.stop()
	c.all.Wait()
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// awaitBack waits until the store has the file at its path open and is well.
func awaitBack(t *testing.T, s *Store) {
	t.Helper()
	await(t, "the database at its path", func() bool {
		return s.Check(t.Context()) == nil && s.saving.Load() == nil && s.identityNow() == nil
	})
}

// holdsAll compares a store to what was acknowledged and seeded.
func holdsAll(t *testing.T, s *Store, acked map[store.ID]store.Account, seeds int) {
	t.Helper()
	there := make(map[store.ID]store.Account)
	for _, acc := range all(t, s) {
		there[acc.ID] = acc
	}
	for id, acc := range acked {
		if !there[id].Equal(acc) {
			t.Errorf("%s = %+v, want %+v", id, there[id], acc)
		}
	}
	for n := range seeds {
		if id := store.ID(fmt.Sprint(10000 + n)); there[id].Name != fmt.Sprint("Person_", n) {
			t.Errorf("seeded account %s = %+v", id, there[id])
		}
	}
}

// openBelow counts the open descriptors and maps of this process that are of files
// below dir, deleted ones too.
func openBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return n + strings.Count(string(maps), " "+dir)
}
