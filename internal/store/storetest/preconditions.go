package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/internal/store"
)

// clock is a time that tests move. It never stands still for a writer.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// once returns the preconditions of a write that happens once, whose answer tells what it did.
func once(key string, fingerprint byte) store.Preconditions {
	return store.Preconditions{Idempotency: &store.Idempotency{Key: key, Fingerprint: store.Fingerprint{fingerprint}, Answer: answer}}
}

func answer(w store.Written) []byte {
	return fmt.Appendf(nil, "%s %s %d %v", w.Account.ID, w.Account.Name, w.Account.Version, w.Created)
}

// Lookup returns the answer that a write under this key left, with ErrNotFound
// if there is none: it asks for a write that no account allows.
func Lookup(t *testing.T, s store.Store, key string, fingerprint store.Fingerprint) ([]byte, error) {
	t.Helper()
	pre := store.Preconditions{Revisions: []store.Revision{}, Idempotency: &store.Idempotency{Key: key, Fingerprint: fingerprint, Answer: answer}}
	w, err := s.Put(t.Context(), "recall", store.Draft{Name: "x"}, pre)
	if errors.Is(err, store.ErrVersion) {
		return nil, store.ErrNotFound
	}
	return w.Replay, err
}

// now and old stand in the tables for revisions that are known only later.
const (
	now store.Revision = "now"
	old store.Revision = "old"
)

// revisions puts those of accounts in the place of such names.
func revisions(list []store.Revision, accounts map[store.Revision]store.Account) []store.Revision {
	list = slices.Clone(list)
	for i, r := range list {
		if acc, is := accounts[r]; is {
			list[i] = acc.Revision()
		}
	}
	return list
}

// preconditionCases say what comes of a write on an account in version 2, and
// of a Put where none is. Update and Delete then find none.
var preconditionCases = []struct {
	pre         store.Preconditions
	there, none error
}{
	{store.Preconditions{}, nil, nil},
	{store.Preconditions{Absent: true}, store.ErrExists, nil},
	{store.Preconditions{Present: true}, nil, store.ErrVersion},
	{store.Preconditions{Revisions: []store.Revision{now}}, nil, store.ErrVersion},
	{store.Preconditions{Revisions: []store.Revision{"1-none", now}}, nil, store.ErrVersion},
	{store.Preconditions{Revisions: []store.Revision{old, "3-none"}}, store.ErrVersion, store.ErrVersion},
	{store.Preconditions{Revisions: []store.Revision{}}, store.ErrVersion, store.ErrVersion},
}

func preconditionsDecide(t *testing.T, open Opener) {
	s := open.Open(t)
	asked := false // the change of an Update
	for kind, write := range map[string]func(store.ID, store.Preconditions) (store.Written, error){
		"Put": func(id store.ID, pre store.Preconditions) (store.Written, error) {
			return s.Put(t.Context(), id, store.Draft{Name: "three"}, pre)
		},
		"Update": func(id store.ID, pre store.Preconditions) (store.Written, error) {
			return s.Update(t.Context(), id, pre, func(acc store.Account) (store.Draft, error) {
				asked = true
				return renamed("three")(acc)
			})
		},
		"Delete": func(id store.ID, pre store.Preconditions) (store.Written, error) {
			return store.Written{}, s.Delete(t.Context(), id, pre)
		},
	} {
		for i, c := range preconditionCases {
			id, none := store.ID(fmt.Sprint(kind, "-there-", i)), store.ID(fmt.Sprint(kind, "-none-", i))
			first := put(t, s, id, "one")
			before := put(t, s, id, "two")
			pre := c.pre
			pre.Revisions = revisions(pre.Revisions, map[store.Revision]store.Account{now: before, old: first})
			asked = false
			w, err := write(id, pre)
			if !errors.Is(err, c.there) || kind == "Update" && asked != (err == nil) {
				t.Errorf("%+v, one there: %s = %v, want %v; change asked for: %t", pre, kind, err, c.there, asked)
			}
			got, getErr := s.Get(t.Context(), id)
			switch {
			case err != nil && !got.Equal(before):
				t.Errorf("%+v: %+v is stored after a refused %s", pre, got, kind)
			case err == nil && kind == "Delete" && !errors.Is(getErr, store.ErrNotFound):
				t.Errorf("%+v: Get = %v after Delete", pre, getErr)
			case err != nil || kind == "Delete":
			case !got.Equal(w.Account) || got.Version != 3 || got.Name != "three" || w.Created:
				t.Errorf("%+v: %+v is stored after %s = %+v", pre, got, kind, w)
			}
			want := c.none
			if kind != "Put" {
				want = store.ErrNotFound
			}
			asked = false
			w, err = write(none, pre)
			if !errors.Is(err, want) || asked || w.Created != (err == nil) {
				t.Errorf("%+v, none there: %s = %+v, %v, want %v; change asked for: %t", pre, kind, w, err, want, asked)
			}
			if _, getErr := s.Get(t.Context(), none); (err == nil) != (getErr == nil) {
				t.Errorf("%+v, none there: Get = %v after %s = %v", pre, getErr, kind, err)
			}
		}
	}
}

func writeUnderAKeyHappensOnce(t *testing.T, open Opener) {
	s := open(t, time.Now)
	first, err := s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key", 1))
	if err != nil || !first.Created || first.Replay != nil {
		t.Fatalf("Put = %+v, %v", first, err)
	}
	put(t, s, "1", "changed since")
	again := func() {
		t.Helper()
		pre := once("key", 1)
		pre.Absent = true // the key comes first
		w, err := s.Put(t.Context(), "1", store.Draft{Name: "one"}, pre)
		if err != nil || string(w.Replay) != string(answer(first)) || w.Created || !w.Account.Equal(store.Account{}) {
			t.Errorf("Put again = %+v, %v; want the answer %q alone", w, err, answer(first))
		}
		if got, err := Lookup(t, s, "key", store.Fingerprint{1}); err != nil || string(got) != string(answer(first)) {
			t.Errorf("Lookup = %q, %v", got, err)
		}
		wantErr(t, "another request under the key", errOf(s.Put(t.Context(), "1", store.Draft{Name: "other"}, once("key", 2))), store.ErrKeyReused)
		wantErr(t, "Lookup of another request", errOf(Lookup(t, s, "key", store.Fingerprint{2})), store.ErrKeyReused)
		if got := get(t, s, "1"); got.Name != "changed since" || got.Version != 2 {
			t.Errorf("account = %+v, want it unchanged", got)
		}
	}
	again()
	Close(t, s)
	s = open.Open(t)
	again()
	for _, other := range []string{"Key", "key2", "ke"} {
		wantErr(t, "Lookup of "+other, errOf(Lookup(t, s, other, store.Fingerprint{1})), store.ErrNotFound)
	}
}

func refusedWriteLeavesItsKeyFree(t *testing.T, open Opener) {
	s := open.Open(t)
	put(t, s, "1", "one")
	pre := once("key", 1)
	pre.Absent = true
	wantErr(t, "Put", errOf(s.Put(t.Context(), "1", store.Draft{Name: "x"}, pre)), store.ErrExists)
	wantErr(t, "Lookup", errOf(Lookup(t, s, "key", store.Fingerprint{1})), store.ErrNotFound)
	if w, err := s.Put(t.Context(), "2", store.Draft{Name: "x"}, once("key", 2)); err != nil || !w.Created {
		t.Errorf("another write under the key: %+v, %v", w, err)
	}
	wantInvalid(t, "Put under no key", errOf(s.Put(t.Context(), "3", store.Draft{Name: "x"}, once("", 1))), "key")
}

func answersAreKeptForTheirTime(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	_, err := s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key", 1))
	must(t, err)
	c.advance(store.IdempotencyRetention - time.Millisecond)
	if w, err := s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key", 1)); err != nil || w.Replay == nil {
		t.Errorf("Put before the time is over = %+v, %v; want the answer", w, err)
	}
	c.advance(time.Millisecond)
	wantErr(t, "Lookup after the time is over", errOf(Lookup(t, s, "key", store.Fingerprint{1})), store.ErrNotFound)
	if w, err := s.Put(t.Context(), "1", store.Draft{Name: "two"}, once("key", 2)); err != nil || w.Replay != nil || w.Account.Version != 2 {
		t.Errorf("Put after the time is over = %+v, %v; want a new write", w, err)
	}
	if got, err := Lookup(t, s, "key", store.Fingerprint{2}); err != nil || string(got) != "1 two 2 false" {
		t.Errorf("Lookup = %q, %v; want the new answer", got, err)
	}
}

// Each version has one winner. A Get sees no older version than the last one that was acknowledged before it began or
// that its racer saw. A write is refused only when another one has replaced the version.
func oneOfManyWinsEachVersion(t *testing.T, open Opener) {
	s := open.Open(t)
	put(t, s, "shared", "x")
	const racers, versions = 64, 60
	var mu sync.Mutex
	winners := make(map[int64]int)
	var acked atomic.Int64 // at least so far
	var wg sync.WaitGroup
	for racer := range racers {
		wg.Go(func() {
			for seen := int64(1); ; {
				least := max(acked.Load(), seen)
				acc, err := s.Get(t.Context(), "shared")
				if err != nil || acc.Version < least {
					t.Errorf("Get = %+v, %v; want version %d or later", acc, err, least)
					return
				}
				if seen = acc.Version; seen >= versions {
					return
				}
				w, err := s.Put(t.Context(), "shared", store.Draft{Name: fmt.Sprint(racer, " ", acc.Version)},
					store.Preconditions{Revisions: []store.Revision{acc.Revision()}})
				switch {
				case err == nil && w.Account.Version != acc.Version+1:
					t.Errorf("version %d after %d", w.Account.Version, acc.Version)
				case err == nil:
					mu.Lock()
					winners[w.Account.Version]++
					acked.Store(max(acked.Load(), w.Account.Version))
					mu.Unlock()
				case errors.Is(err, store.ErrVersion):
					seen++
				default:
					t.Errorf("Put = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	last := get(t, s, "shared").Version
	for v := int64(2); v <= last; v++ {
		if winners[v] != 1 {
			t.Errorf("version %d has %d winners", v, winners[v])
		}
	}
	if last < versions || int64(len(winners)) != last-1 {
		t.Errorf("last version %d, %d had winners", last, len(winners))
	}
}

func oneOfManyWritesUnderAKey(t *testing.T, open Opener) {
	s := open.Open(t)
	for round := range 10 {
		id := store.ID(fmt.Sprint(round))
		var writes, replays atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				w, err := s.Put(t.Context(), id, store.Draft{Name: "x"}, once(fmt.Sprint("key ", round), 1))
				switch {
				case err != nil:
					t.Errorf("Put = %v", err)
				case w.Replay == nil:
					writes.Add(1)
				case string(w.Replay) == fmt.Sprintf("%s x 1 true", id):
					replays.Add(1)
				default:
					t.Errorf("answer %q", w.Replay)
				}
			})
		}
		wg.Wait()
		if got := get(t, s, id); writes.Load() != 1 || replays.Load() != 15 || got.Version != 1 {
			t.Errorf("%d writes, %d answers again, version %d", writes.Load(), replays.Load(), got.Version)
		}
	}
}
