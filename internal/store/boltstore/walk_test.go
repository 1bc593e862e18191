package boltstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// stays is the id of the nth account.
func stays(n int) store.ID { return store.ID(fmt.Sprintf("%07d", n)) }

// filled is a store with n accounts.
func filled(t *testing.T, n int) *boltstore.Store {
	t.Helper()
	s, _ := seeded(t, 0)
	s.NoSyncForTest() // nothing here looks at what a loss of power leaves
	for first := 0; first < n; first += store.MaxMany {
		in := make([]store.Account, min(store.MaxMany, n-first))
		for i := range in {
			in[i] = store.Account{ID: stays(first + i), Draft: store.Draft{Name: fmt.Sprint("Person_", first+i)}}
		}
		putRecords(t, s, in)
	}
	return s
}

func TestLastPageOfAMillionCostsWhatTheFirstDoes(t *testing.T) {
	if !long() {
		t.Skip("takes minutes: set STORE_TEST_LONG")
	}
	const accounts = 1_000_000
	s := filled(t, accounts)
	first, last := pageCosts(t, s, "", stays(accounts-102))
	t.Logf("a page of 100: first %v, last %v", first, last)
	if last > 2*first {
		t.Errorf("the last page costs %v, the first %v", last, first)
	}
}

// pageCosts are the median times of two pages of 100, asked for in turn so that what else the machine does slows both.
func pageCosts(t *testing.T, s *boltstore.Store, one, other store.ID) (_, _ time.Duration) {
	t.Helper()
	const rounds = 201
	costs := make(map[store.ID][]time.Duration)
	for range rounds {
		for _, after := range []store.ID{one, other} {
			begun := time.Now()
			page, err := s.List(t.Context(), store.Query{After: after, Limit: 100})
			costs[after] = append(costs[after], time.Since(begun))
			if err != nil || len(page.Accounts) != 100 {
				t.Fatalf("%d accounts, %v", len(page.Accounts), err)
			}
		}
	}
	slices.Sort(costs[one])
	slices.Sort(costs[other])
	return costs[one][rounds/2], costs[other][rounds/2]
}

func TestRareMatchDoesNotHoldAReaderLong(t *testing.T) {
	t.Parallel()
	const scanned = 10_000 // by one read at most
	s := filled(t, scanned+100)
	page, err := s.List(t.Context(), store.Query{Name: fmt.Sprint("Person_", scanned+50), Limit: 10})
	if err != nil || len(page.Accounts) != 0 || page.Next != stays(scanned-1) {
		t.Errorf("first page = %+v, %v; want none, and the place to go on from", page, err)
	}
	page, err = s.List(t.Context(), store.Query{After: page.Next, Name: fmt.Sprint("Person_", scanned+50), Limit: 10})
	if err != nil || len(page.Accounts) != 1 || page.Next != "" {
		t.Errorf("second page = %+v, %v; want the one that matches", page, err)
	}
}

func TestReadOfLargeAccountsEndsEarly(t *testing.T) {
	t.Parallel()
	s, _ := seeded(t, 0)
	const n = 300 // of 50 kB
	in, ids := make([]store.Account, n), make([]store.ID, n)
	for i := range in {
		ids[i] = stays(i)
		in[i] = store.Account{ID: ids[i], Draft: large("x", "日")}
	}
	must(t, errOf(s.Import(t.Context(), in)))
	pages, got := 0, 0
	for q := (store.Query{Limit: n}); ; {
		page, err := s.List(t.Context(), q)
		must(t, err)
		pages, got = pages+1, got+len(page.Accounts)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if got != n || pages < 2 {
		t.Errorf("%d accounts in %d pages; want %d in some", got, pages, n)
	}
	if found, err := s.GetMany(t.Context(), ids); !errors.Is(err, store.ErrTooMuch) || errors.Is(err, store.ErrUnavailable) || found.Accounts != nil {
		t.Errorf("%d accounts at once: %d and %v, want ErrTooMuch", n, len(found.Accounts), err)
	}
	if found, err := s.GetMany(t.Context(), ids[:n/10]); len(found.Accounts) != n/10 || err != nil {
		t.Errorf("%d accounts at once: %d and %v", n/10, len(found.Accounts), err)
	}
}
