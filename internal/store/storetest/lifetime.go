package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
)

// seeds wants that a seed of many adds n accounts.
func seeds(t *testing.T, s store.Store, many, n int) {
	t.Helper()
	if got, err := s.Seed(t.Context(), store.Fakes(many)); got != n || err != nil {
		t.Errorf("Seed of %d = %d, %v, want %d", many, got, err, n)
	}
}

func seedFillsOnlyANewStore(t *testing.T, open Opener) {
	s := open.Open(t)
	seeds(t, s, 100, 100)
	first, last := get(t, s, "10000"), get(t, s, "10099")
	if first.Name != "Person_0" || last.Name != "Person_99" || first.Version != 1 {
		t.Errorf("seeded %+v to %+v", first, last)
	}
	seeds(t, s, 200, 0)
	accounts := all(t, s)
	if len(accounts) != 100 {
		t.Errorf("%d accounts, want 100", len(accounts))
	}
	for _, acc := range accounts {
		remove(t, s, acc.ID)
	}
	seeds(t, s, 3, 0) // of an emptied one
}

func seedLeavesAStoreInUseAlone(t *testing.T, open Opener) {
	s := open.Open(t)
	mine := put(t, s, "10000", "mine")
	seeds(t, s, 100, 0)
	if got := all(t, s); !same(got, []store.Account{mine}) {
		t.Errorf("store has %d accounts, want mine alone", len(got))
	}
}

func parallelWritersLoseNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	put(t, s, "counter", "0")
	const writers, each = 16, 20
	var versions sync.Map
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				draft := store.Draft{Name: fmt.Sprint(n, " ", i)}
				w, err := s.Put(t.Context(), "shared", draft, store.Preconditions{})
				if _, twice := versions.LoadOrStore(w.Account.Version, true); err != nil || twice {
					t.Errorf("Put = version %d, %v, given before: %t", w.Account.Version, err, twice)
				}
				if _, err := s.Get(t.Context(), "shared"); err != nil {
					t.Errorf("Get: %v", err)
				}
				if _, err := s.Update(t.Context(), "counter", store.Preconditions{}, addOne); err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := get(t, s, "shared").Version; got != writers*each {
		t.Errorf("last version %d, want %d", got, writers*each)
	}
	if got := get(t, s, "counter"); got.Name != fmt.Sprint(writers*each) || got.Version != writers*each+1 {
		t.Errorf("%+v is stored after %d updates", got, writers*each)
	}
}

func addOne(acc store.Account) (store.Draft, error) {
	n, err := strconv.Atoi(acc.Name)
	return store.Draft{Name: strconv.Itoa(n + 1)}, err
}

func cancelledCallsChangeNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	one := put(t, s, "1", "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for call, err := range each(ctx, s) {
		wantErr(t, call, err, context.Canceled)
	}
	if got := all(t, s); !same(got, []store.Account{one}) {
		t.Errorf("store has %+v, want %+v alone", got, one)
	}
}

func afterReopeningEverythingIsThere(t *testing.T, open Opener) {
	s := open(t, time.Now)
	seeds(t, s, 10, 10)
	put(t, s, "10003", "changed")
	remove(t, s, "10004")
	want := all(t, s)
	Close(t, s)
	s = open.Open(t)
	if got := all(t, s); !same(got, want) {
		t.Errorf("after reopening %+v, want %+v", got, want)
	}
	seeds(t, s, 10, 0)
}

func closedStoreIsUnavailable(t *testing.T, open Opener) {
	s := open(t, time.Now)
	put(t, s, "1", "one")
	Close(t, s)
	Close(t, s)
	for call, err := range each(t.Context(), s) {
		wantErr(t, call, err, store.ErrUnavailable)
	}
}

// each calls every method but Close and returns their errors.
func each(ctx context.Context, s store.Store) map[string]error {
	_, getErr := s.Get(ctx, "1")
	_, manyErr := s.GetMany(ctx, []store.ID{"1"})
	_, listErr := s.List(ctx, store.Query{Limit: 1})
	_, putErr := s.Put(ctx, "2", store.Draft{Name: "two"}, store.Preconditions{})
	_, updateErr := s.Update(ctx, "1", store.Preconditions{}, renamed("two"))
	_, importErr := s.Import(ctx, []store.Account{{ID: "2", Draft: store.Draft{Name: "two"}}})
	_, seedErr := s.Seed(ctx, store.Fakes(1))
	return map[string]error{"Get": getErr, "GetMany": manyErr, "List": listErr, "Put": putErr,
		"Delete": s.Delete(ctx, "1", store.Preconditions{}), "Update": updateErr, "Import": importErr, "Seed": seedErr}
}

func closeDuringWritesLosesNothingAcked(t *testing.T, open Opener) {
	s := open(t, time.Now)
	var acked sync.Map
	var started, writers sync.WaitGroup
	for w := range 8 {
		started.Add(1)
		writers.Go(func() {
			for i := 0; ; i++ {
				id := store.ID(fmt.Sprintf("%d-%d", w, i))
				put, err := s.Put(t.Context(), id, store.Draft{Name: "x"}, store.Preconditions{})
				if i == 2 {
					started.Done()
				}
				if err != nil {
					wantErr(t, "Put while closing", err, store.ErrUnavailable)
					return
				}
				acked.Store(id, put.Account)
			}
		})
	}
	started.Wait()
	Close(t, s)
	writers.Wait()
	s = open.Open(t)
	for id, want := range acked.Range {
		if got := get(t, s, id.(store.ID)); !got.Equal(want.(store.Account)) {
			t.Errorf("%s = %+v, want %+v", id, got, want)
		}
	}
}
