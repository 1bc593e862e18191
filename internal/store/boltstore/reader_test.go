package boltstore_test

import (
	"slices"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

func openReader(t *testing.T, path string) *boltstore.Reader {
	t.Helper()
	r, err := boltstore.OpenReader(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestReaderReadsWhatTheStoreDoes(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 3000)
	q := store.Query{After: "10100", Limit: 2000, NamePrefix: "Person_1"}
	ids := []store.ID{"12999", "none", "10000", "10000"}
	page, err := s.List(t.Context(), q)
	must(t, err)
	many, err := s.GetMany(t.Context(), ids)
	must(t, err)
	storetest.Close(t, s)
	r := openReader(t, path)
	got, err := r.List(t.Context(), q)
	if err != nil || got.Next != page.Next || len(got.Accounts) != len(page.Accounts) ||
		!got.Accounts[7].Equal(page.Accounts[7]) {
		t.Errorf("List = %d accounts, next %q, %v; want %d, %q", len(got.Accounts), got.Next, err,
			len(page.Accounts), page.Next)
	}
	found, err := r.GetMany(t.Context(), ids)
	if err != nil || len(found.Accounts) != 2 || !slices.EqualFunc(found.Accounts, many.Accounts, store.Account.Equal) {
		t.Errorf("GetMany = %v, %v; want %v", found, err, many)
	}
	tutorial := openReader(t, tutorialFile(t))
	if page, err := tutorial.List(t.Context(), store.Query{Limit: 1000}); err != nil || len(page.Accounts) != 100 {
		t.Errorf("of the tutorial's: %d accounts, %v", len(page.Accounts), err)
	}
}

func TestReaderSharesTheFileWithReadersAlone(t *testing.T) {
	s, path := seeded(t, 1)
	opts := boltstore.Options{Path: path, OpenTimeout: 100 * time.Millisecond}
	wantErr(t, errOf(boltstore.OpenReader(t.Context(), opts)), boltstore.ErrLocked)
	storetest.Close(t, s)
	openReader(t, path)
	openReader(t, path)
	wantErr(t, errOf(boltstore.Open(t.Context(), opts)), boltstore.ErrLocked)
}
