// Package storetest is what every store must pass, and what a store can suffer.
// It is for tests alone.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
)

// Opener opens the same store each time; the first time it is new and empty.
type Opener func(t *testing.T) store.Store

// Run checks the contract of store.Store. fresh gives the opener of a store
// that no other call has seen.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"GetReturnsWhatPutStored":            getReturnsWhatPutStored,
		"PutReplacesAndCountsVersions":       putReplacesAndCountsVersions,
		"InvalidInputChangesNothing":         invalidInputChangesNothing,
		"DeleteRemovesOnce":                  deleteRemovesOnce,
		"ListPagesInOrder":                   listPagesInOrder,
		"ListWalksPastChanges":               listWalksPastChanges,
		"SeedFillsOnlyANewStore":             seedFillsOnlyANewStore,
		"SeedLeavesAStoreInUseAlone":         seedLeavesAStoreInUseAlone,
		"NothingIsSeededTwiceAfterEmptying":  nothingIsSeededTwiceAfterEmptying,
		"ParallelWritersLoseNoVersion":       parallelWritersLoseNoVersion,
		"CancelledCallsChangeNothing":        cancelledCallsChangeNothing,
		"AfterReopeningEverythingIsThere":    afterReopeningEverythingIsThere,
		"ClosedStoreIsUnavailable":           closedStoreIsUnavailable,
		"CloseDuringWritesLosesNothingAcked": closeDuringWritesLosesNothingAcked,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

// Open is opener(t), closed at the end of the test.
func (open Opener) Open(t *testing.T) store.Store {
	t.Helper()
	s := open(t)
	t.Cleanup(func() { Close(t, s) })
	return s
}

// Close closes s and fails the test if that takes 10 seconds or gives an error.
func Close(t *testing.T, s store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func put(t *testing.T, s store.Store, id store.ID, name string) store.Account {
	t.Helper()
	acc, _, err := s.Put(t.Context(), id, store.Draft{Name: name})
	if err != nil {
		t.Fatalf("Put(%s): %v", id, err)
	}
	return acc
}

func get(t *testing.T, s store.Store, id store.ID) store.Account {
	t.Helper()
	acc, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get(%s): %v", id, err)
	}
	return acc
}

func all(t *testing.T, s store.Store) []store.Account {
	t.Helper()
	page, err := s.List(t.Context(), "", 1<<20)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return page
}

func getReturnsWhatPutStored(t *testing.T, open Opener) {
	s := open.Open(t)
	name := "Zoë “quoted” \\ <&> 日本 🙂"
	acc, created, err := s.Put(t.Context(), "a.b_c~d-1", store.Draft{Name: name})
	if err != nil || !created {
		t.Fatalf("Put = created %v, %v", created, err)
	}
	if acc.ID != "a.b_c~d-1" || acc.Name != name || acc.Version != 1 {
		t.Errorf("Put returned %+v", acc)
	}
	if acc.CreatedAt.IsZero() || acc.CreatedAt != acc.UpdatedAt || acc.CreatedAt.Location() != time.UTC ||
		acc.CreatedAt != acc.CreatedAt.Truncate(time.Microsecond) {
		t.Errorf("times %v, %v: want one, UTC, whole microseconds", acc.CreatedAt, acc.UpdatedAt)
	}
	if got := get(t, s, acc.ID); got != acc {
		t.Errorf("Get = %+v, want %+v", got, acc)
	}
	for _, other := range []store.ID{"a", "a.b_c~d-", "a.b_c~d-10", "A.B_C~D-1"} {
		if _, err := s.Get(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%s) = %v, want ErrNotFound", other, err)
		}
	}
}

func putReplacesAndCountsVersions(t *testing.T, open Opener) {
	s := open.Open(t)
	first := put(t, s, "1", "one")
	second, created, err := s.Put(t.Context(), "1", store.Draft{Name: "two"})
	if err != nil || created {
		t.Fatalf("second Put = created %v, %v", created, err)
	}
	if second.Version != 2 || second.Name != "two" || second.CreatedAt != first.CreatedAt || second.UpdatedAt.Before(first.UpdatedAt) {
		t.Errorf("second = %+v after %+v", second, first)
	}
	if got := get(t, s, "1"); got != second {
		t.Errorf("Get = %+v, want %+v", got, second)
	}
}

func invalidInputChangesNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	before := put(t, s, "1", "one")
	for _, bad := range []struct{ id, name, field string }{
		{"1", "", "name"},
		{"1", strings.Repeat("ä", store.MaxNameLength+1), "name"},
		{"1", "a\x00b", "name"},
		{"1", "a\nb", "name"},
		{"1", "\xff\xfe", "name"},
		{"", "x", "id"},
		{"a/b", "x", "id"},
		{"a b", "x", "id"},
		{"ä", "x", "id"},
		{"..", "x", "id"},
		{strings.Repeat("a", store.MaxIDLength+1), "x", "id"},
	} {
		_, _, err := s.Put(t.Context(), store.ID(bad.id), store.Draft{Name: bad.name})
		var invalid *store.Invalid
		if !errors.As(err, &invalid) || invalid.Field != bad.field {
			t.Errorf("Put(%q, %q) = %v, want *Invalid of %s", bad.id, bad.name, err, bad.field)
		}
	}
	if got := all(t, s); !slices.Equal(got, []store.Account{before}) {
		t.Errorf("store has %+v, want %+v alone", got, before)
	}
	put(t, s, store.ID(strings.Repeat("a", store.MaxIDLength)), strings.Repeat("ä", store.MaxNameLength))
}

func deleteRemovesOnce(t *testing.T, open Opener) {
	s := open.Open(t)
	put(t, s, "1", "one")
	two := put(t, s, "2", "two")
	if err := s.Delete(t.Context(), "1"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if err := s.Delete(t.Context(), "1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second Delete = %v, want ErrNotFound", err)
	}
	if got := all(t, s); !slices.Equal(got, []store.Account{two}) {
		t.Errorf("store has %+v, want %+v alone", got, two)
	}
	if again := put(t, s, "1", "one"); again.Version != 1 {
		t.Errorf("version after Delete and Put = %d, want 1", again.Version)
	}
}

func listPagesInOrder(t *testing.T, open Opener) {
	s := open.Open(t)
	ids := []store.ID{"-", ".a", "10", "100", "9", "A", "Z", "_", "a", "aa", "b", "~"} // byte order
	for _, i := range rand.Perm(len(ids)) {
		put(t, s, ids[i], "x")
	}
	for limit := 1; limit <= len(ids)+1; limit++ {
		var got []store.ID
		for after := store.ID(""); ; {
			page, err := s.List(t.Context(), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, acc := range page {
				got = append(got, acc.ID)
			}
			if len(page) < limit {
				break
			}
			after = page[len(page)-1].ID
		}
		if !slices.Equal(got, ids) {
			t.Errorf("in pages of %d: %q, want %q", limit, got, ids)
		}
	}
}

func listWalksPastChanges(t *testing.T, open Opener) {
	s := open.Open(t)
	for i := range 10 {
		put(t, s, store.ID(fmt.Sprint(i)), "x")
	}
	page, err := s.List(t.Context(), "", 5) // 0 to 4
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "4"); err != nil { // the place to go on from
		t.Fatal(err)
	}
	put(t, s, "01", "before the place")
	rest, err := s.List(t.Context(), page[4].ID, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) != 5 || rest[0].ID != "5" || rest[4].ID != "9" {
		t.Errorf("second page = %+v, want 5 to 9", rest)
	}
}

func seedFillsOnlyANewStore(t *testing.T, open Opener) {
	s := open.Open(t)
	if n, err := s.Seed(t.Context(), store.Fakes(100)); n != 100 || err != nil {
		t.Fatalf("Seed = %d, %v", n, err)
	}
	if first, last := get(t, s, "10000"), get(t, s, "10099"); first.Name != "Person_0" || last.Name != "Person_99" || first.Version != 1 {
		t.Errorf("seeded %+v to %+v", first, last)
	}
	if n, err := s.Seed(t.Context(), store.Fakes(200)); n != 0 || err != nil {
		t.Errorf("second Seed = %d, %v", n, err)
	}
	if got := len(all(t, s)); got != 100 {
		t.Errorf("%d accounts, want 100", got)
	}
}

func seedLeavesAStoreInUseAlone(t *testing.T, open Opener) {
	s := open.Open(t)
	mine := put(t, s, "10000", "mine")
	if n, err := s.Seed(t.Context(), store.Fakes(100)); n != 0 || err != nil {
		t.Fatalf("Seed = %d, %v", n, err)
	}
	if got := all(t, s); !slices.Equal(got, []store.Account{mine}) {
		t.Errorf("store has %d accounts, want mine alone", len(got))
	}
}

func nothingIsSeededTwiceAfterEmptying(t *testing.T, open Opener) {
	s := open.Open(t)
	if n, err := s.Seed(t.Context(), store.Fakes(3)); n != 3 || err != nil {
		t.Fatalf("Seed = %d, %v", n, err)
	}
	for _, acc := range all(t, s) {
		if err := s.Delete(t.Context(), acc.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Seed(t.Context(), store.Fakes(3)); n != 0 || err != nil {
		t.Errorf("Seed of an emptied store = %d, %v", n, err)
	}
}

func parallelWritersLoseNoVersion(t *testing.T, open Opener) {
	s := open.Open(t)
	const writers, each = 16, 20
	versions := make(chan int64, writers*each)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				acc, _, err := s.Put(t.Context(), "shared", store.Draft{Name: fmt.Sprint(i)})
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				versions <- acc.Version
				if _, err := s.Get(t.Context(), "shared"); err != nil {
					t.Errorf("Get: %v", err)
				}
			}
		})
	}
	wg.Wait()
	close(versions)
	seen := make(map[int64]bool)
	for v := range versions {
		if seen[v] {
			t.Errorf("version %d was given twice", v)
		}
		seen[v] = true
	}
	if got := get(t, s, "shared").Version; got != writers*each || len(seen) != writers*each {
		t.Errorf("last version %d, %d distinct; want %d", got, len(seen), writers*each)
	}
}

func cancelledCallsChangeNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	one := put(t, s, "1", "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := s.Get(ctx, "1")
	_, listErr := s.List(ctx, "", 1)
	_, _, putErr := s.Put(ctx, "2", store.Draft{Name: "two"})
	_, seedErr := s.Seed(ctx, store.Fakes(1))
	for call, err := range map[string]error{"Get": getErr, "List": listErr, "Put": putErr, "Delete": s.Delete(ctx, "1"), "Seed": seedErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", call, err)
		}
	}
	if got := all(t, s); !slices.Equal(got, []store.Account{one}) {
		t.Errorf("store has %+v, want %+v alone", got, one)
	}
}

func afterReopeningEverythingIsThere(t *testing.T, open Opener) {
	s := open(t)
	if _, err := s.Seed(t.Context(), store.Fakes(10)); err != nil {
		t.Fatal(err)
	}
	put(t, s, "10003", "changed")
	if err := s.Delete(t.Context(), "10004"); err != nil {
		t.Fatal(err)
	}
	want := all(t, s)
	Close(t, s)
	s = open.Open(t)
	if got := all(t, s); !slices.Equal(got, want) {
		t.Errorf("after reopening %+v, want %+v", got, want)
	}
	if n, err := s.Seed(t.Context(), store.Fakes(10)); n != 0 || err != nil {
		t.Errorf("Seed after reopening = %d, %v", n, err)
	}
}

func closedStoreIsUnavailable(t *testing.T, open Opener) {
	s := open(t)
	put(t, s, "1", "one")
	Close(t, s)
	Close(t, s)
	_, getErr := s.Get(t.Context(), "1")
	_, listErr := s.List(t.Context(), "", 1)
	_, _, putErr := s.Put(t.Context(), "2", store.Draft{Name: "two"})
	for call, err := range map[string]error{"Get": getErr, "List": listErr, "Put": putErr, "Delete": s.Delete(t.Context(), "1")} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", call, err)
		}
	}
}

func closeDuringWritesLosesNothingAcked(t *testing.T, open Opener) {
	s := open(t)
	var mu sync.Mutex
	acked := make(map[store.ID]store.Account)
	started := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				acc, _, err := s.Put(t.Context(), store.ID(fmt.Sprintf("%d-%d", w, i)), store.Draft{Name: "x"})
				if err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("Put while closing: %v, want ErrUnavailable", err)
					}
					return
				}
				mu.Lock()
				acked[acc.ID] = acc
				mu.Unlock()
				if i == 2 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	Close(t, s)
	wg.Wait()
	s = open.Open(t)
	for id, want := range acked {
		if got := get(t, s, id); got != want {
			t.Errorf("%s = %+v, want %+v", id, got, want)
		}
	}
}
