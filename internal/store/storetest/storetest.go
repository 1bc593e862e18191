// Package storetest has the tests that every store must pass, and faults that a test can order. It is for tests alone.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
)

// Opener opens the same store each time, with this clock; the first time it is new and empty.
type Opener func(t *testing.T, now func() time.Time) store.Store

// Run checks the contract of store.Store. fresh gives the opener of a store that no other call has seen.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"GetReturnsWhatPutStored":            getReturnsWhatPutStored,
		"PutReplacesAndCountsVersions":       putReplacesAndCountsVersions,
		"SameContentChangesNoMember":         sameContentChangesNoMember,
		"ReadOnlyMembersAreCompared":         readOnlyMembersAreCompared,
		"InvalidInputChangesNothing":         invalidInputChangesNothing,
		"DeleteRemovesOnce":                  deleteRemovesOnce,
		"ListPagesInOrder":                   listPagesInOrder,
		"ListWalksPastChanges":               listWalksPastChanges,
		"ListFilters":                        listFilters,
		"ListWalksAmongWriters":              listWalksAmongWriters,
		"GetManyKeepsTheOrderAsked":          getManyKeepsTheOrderAsked,
		"PreconditionsDecide":                preconditionsDecide,
		"UpdateChangesWhatIsThere":           updateChangesWhatIsThere,
		"UpdateThatFailsChangesNothing":      updateThatFailsChangesNothing,
		"UpdateUnderAKeyHappensOnce":         updateUnderAKeyHappensOnce,
		"WriteUnderAKeyHappensOnce":          writeUnderAKeyHappensOnce,
		"RefusedWriteLeavesItsKeyFree":       refusedWriteLeavesItsKeyFree,
		"AnswersAreKeptForTheirTime":         answersAreKeptForTheirTime,
		"OneOfManyWinsEachVersion":           oneOfManyWinsEachVersion,
		"OneOfManyWritesUnderAKey":           oneOfManyWritesUnderAKey,
		"ImportKeepsWhatItIsGiven":           importKeepsWhatItIsGiven,
		"ImportReplacesUpwards":              importReplacesUpwards,
		"ImportIsAllOrNothing":               importIsAllOrNothing,
		"ImportStoresOneIDInItsOrder":        importStoresOneIDInItsOrder,
		"ResultsShareNoMemory":               resultsShareNoMemory,
		"SeedFillsOnlyANewStore":             seedFillsOnlyANewStore,
		"SeedLeavesAStoreInUseAlone":         seedLeavesAStoreInUseAlone,
		"ParallelWritersLoseNothing":         parallelWritersLoseNothing,
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

// Open is opener(t, time.Now), closed at the end of the test.
func (open Opener) Open(t *testing.T) store.Store {
	t.Helper()
	return open.OpenAt(t, time.Now)
}

// OpenAt is opener(t, now), closed at the end of the test.
func (open Opener) OpenAt(t *testing.T, now func() time.Time) store.Store {
	t.Helper()
	s := open(t, now)
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
	w, err := s.Put(t.Context(), id, store.Draft{Name: name}, store.Preconditions{})
	if err != nil {
		t.Fatalf("Put(%s): %v", id, err)
	}
	return w.Account
}

func remove(t *testing.T, s store.Store, id store.ID) {
	t.Helper()
	if err := s.Delete(t.Context(), id, store.Preconditions{}); err != nil {
		t.Fatalf("Delete(%s): %v", id, err)
	}
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
	return walk(t, s, store.Query{Limit: 1000})
}

// walk returns what all pages of a list have.
func walk(t *testing.T, s store.Store, q store.Query) (accounts []store.Account) {
	t.Helper()
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List(%+v): %v", q, err)
		}
		if len(page.Accounts) > q.Limit {
			t.Fatalf("List(%+v) gives %d accounts", q, len(page.Accounts))
		}
		accounts = append(accounts, page.Accounts...)
		if page.Next == "" {
			return accounts
		}
		if page.Next <= q.After {
			t.Fatalf("List(%+v) goes on at %q", q, page.Next)
		}
		q.After = page.Next
	}
}

// whole returns draft, all of whose fields have a value, so that a store which keeps one of them nowhere fails its test.
func whole(t *testing.T, draft store.Draft) store.Draft {
	t.Helper()
	for field, value := range reflect.ValueOf(draft).Fields() {
		if value.IsZero() {
			t.Fatalf("the draft of this test has no %s: give it one", field.Name)
		}
	}
	return draft
}

// same says whether two lists have the same accounts.
func same(a, b []store.Account) bool { return slices.EqualFunc(a, b, store.Account.Equal) }

func getReturnsWhatPutStored(t *testing.T, open Opener) {
	s := open.Open(t)
	name := "Zoë “quoted” \\ <&> 日本 🙂"
	draft := whole(t, store.Draft{Name: name, Email: "zoë@example.org", Labels: map[string]string{"team": "blue", "A.b_c-1": "", "9": "日本 🙂 \\ <&>"}})
	w, err := s.Put(t.Context(), "a.b_c~d-1", draft, store.Preconditions{})
	if err != nil || !w.Created || w.Replay != nil {
		t.Fatalf("Put = %+v, %v", w, err)
	}
	acc := w.Account
	if acc.ID != "a.b_c~d-1" || !acc.Draft.Equal(draft) || acc.Version != 1 {
		t.Errorf("Put returned %+v", acc)
	}
	if acc.CreatedAt.IsZero() || acc.CreatedAt != acc.UpdatedAt || acc.CreatedAt.Location() != time.UTC ||
		acc.CreatedAt != acc.CreatedAt.Truncate(time.Microsecond) {
		t.Errorf("times %v, %v: want one, UTC, whole microseconds", acc.CreatedAt, acc.UpdatedAt)
	}
	if got := get(t, s, acc.ID); !got.Equal(acc) {
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
	w, err := s.Put(t.Context(), "1", store.Draft{Name: "two"}, store.Preconditions{})
	if err != nil || w.Created {
		t.Fatalf("second Put = %+v, %v", w, err)
	}
	second := w.Account
	if second.Version != 2 || second.Name != "two" || second.CreatedAt != first.CreatedAt || second.UpdatedAt.Before(first.UpdatedAt) {
		t.Errorf("second = %+v after %+v", second, first)
	}
	if got := get(t, s, "1"); !got.Equal(second) {
		t.Errorf("Get = %+v, want %+v", got, second)
	}
}

// Content that is stored already is no change, whoever writes it and how: the ETag that
// others have of the account stays good.
func sameContentChangesNoMember(t *testing.T, open Opener) {
	c := newClock()
	s := open(t, c.now)
	draft := store.Draft{Name: "one", Email: "a@example.org", Labels: map[string]string{"a": "1"}}
	bare := put(t, s, "2", "two")
	first, err := s.Put(t.Context(), "1", draft, store.Preconditions{})
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func(store.Account) (store.Draft, error) { return draft, nil }
	current := store.Preconditions{Revisions: []store.Revision{first.Account.Revision()}}
	for name, write := range map[string]func() (store.Written, error){
		"Put":           func() (store.Written, error) { return s.Put(t.Context(), "1", draft, store.Preconditions{}) },
		"Put, if match": func() (store.Written, error) { return s.Put(t.Context(), "1", draft, current) },
		"Update":        func() (store.Written, error) { return s.Update(t.Context(), "1", store.Preconditions{}, unchanged) },
		"Update, key":   func() (store.Written, error) { return s.Update(t.Context(), "1", once("key", 1), unchanged) },
	} {
		c.advance(time.Hour)
		if w, err := write(); err != nil || w.Created || w.Replay != nil || !w.Account.Equal(first.Account) {
			t.Errorf("%s of the same content = %+v, %v; want %+v", name, w, err, first.Account)
		}
	}
	if got, err := Lookup(t, s, "key", store.Fingerprint{1}); err != nil || string(got) != "1 one 1 false" {
		t.Errorf("Lookup = %q, %v; want the answer to the Update", got, err)
	}
	empty := store.Draft{Name: "two", Labels: map[string]string{}}
	if w, err := s.Put(t.Context(), "2", empty, store.Preconditions{}); err != nil || !w.Account.Equal(bare) {
		t.Errorf("Put of no labels = %+v, %v; want %+v", w, err, bare)
	}
	Close(t, s)
	if got := all(t, open.Open(t)); !same(got, []store.Account{first.Account, bare}) {
		t.Errorf("after reopening %+v, want %+v", got, first.Account)
	}
}

// What a caller says of the members that the store decides must be true when it writes.
func readOnlyMembersAreCompared(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	put(t, s, "1", "one")
	c.advance(time.Hour)
	stored := put(t, s, "1", "two")
	for name, bad := range map[string]struct {
		given store.Account
		field string
	}{
		"version":    {store.Account{Version: 1}, "version"},
		"created_at": {store.Account{Version: 2, CreatedAt: stored.UpdatedAt}, "created_at"},
		"updated_at": {store.Account{CreatedAt: stored.CreatedAt, UpdatedAt: stored.CreatedAt}, "updated_at"},
	} {
		if _, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{ReadOnly: bad.given}); !isInvalid(err, bad.field) {
			t.Errorf("Put with another %s = %v, want *Invalid", name, err)
		}
	}
	if _, err := s.Put(t.Context(), "2", store.Draft{Name: "x"}, store.Preconditions{ReadOnly: stored}); !isInvalid(err, "version") {
		t.Errorf("Put of a new account with a version = %v, want *Invalid", err)
	}
	stale := store.Preconditions{ReadOnly: store.Account{Version: 1}, Revisions: []store.Revision{"1-none"}}
	if _, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, stale); !errors.Is(err, store.ErrVersion) {
		t.Errorf("Put with another version and revision = %v, want ErrVersion", err)
	}
	if got := all(t, s); !same(got, []store.Account{stored}) {
		t.Errorf("store has %+v, want %+v alone", got, stored)
	}
	near := stored
	near.UpdatedAt = near.UpdatedAt.Add(time.Nanosecond).In(time.FixedZone("", 3600))
	if w, err := s.Put(t.Context(), "1", store.Draft{Name: "three"}, store.Preconditions{ReadOnly: near}); err != nil || w.Account.Version != 3 {
		t.Errorf("Put with the members that are stored = %+v, %v", w, err)
	}
}

func invalidInputChangesNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	before := put(t, s, "1", "one")
	for _, bad := range badAccounts {
		_, err := s.Put(t.Context(), bad.id, bad.draft, store.Preconditions{})
		if !isInvalid(err, bad.field) {
			t.Errorf("Put(%q, %q) = %v, want *Invalid of %s", bad.id, bad.draft, err, bad.field)
		}
		if _, err := s.Import(t.Context(), []store.Account{
			named("2", "two"), {ID: bad.id, Draft: bad.draft},
		}); !isInvalid(err, bad.field) {
			t.Errorf("Import(%q, %q) = %v, want *Invalid of %s", bad.id, bad.draft, err, bad.field)
		}
	}
	if got := all(t, s); !same(got, []store.Account{before}) {
		t.Errorf("store has %+v, want %+v alone", got, before)
	}
	if _, err := s.Put(t.Context(), store.ID(strings.Repeat("a", store.MaxIDLength)), largest(), store.Preconditions{}); err != nil {
		t.Errorf("the largest account: %v", err)
	}
}

// badAccounts are out of one limit each.
var badAccounts = []struct {
	id    store.ID
	draft store.Draft
	field string
}{
	{"1", store.Draft{}, "name"},
	{"1", store.Draft{Name: strings.Repeat("ä", store.MaxNameLength+1)}, "name"},
	{"1", store.Draft{Name: "a\x00b"}, "name"},
	{"1", store.Draft{Name: "a\nb"}, "name"},
	{"1", store.Draft{Name: "\xff\xfe"}, "name"},
	{"", store.Draft{Name: "x"}, "id"},
	{"a/b", store.Draft{Name: "x"}, "id"},
	{"a b", store.Draft{Name: "x"}, "id"},
	{"ä", store.Draft{Name: "x"}, "id"},
	{"..", store.Draft{Name: "x"}, "id"},
	{store.ID(strings.Repeat("a", store.MaxIDLength+1)), store.Draft{Name: "x"}, "id"},
	{"1", store.Draft{Name: "\u200b"}, "name"},
	{"1", store.Draft{Name: "x", Email: "nobody"}, "email"},
	{"1", store.Draft{Name: "x", Email: "a@b_c"}, "email"},
	{"1", store.Draft{Name: "x", Labels: map[string]string{"": "x"}}, "labels"},
	{"1", store.Draft{Name: "x", Labels: map[string]string{"a": "a\nb"}}, "labels/a"},
}

func isInvalid(err error, field string) bool {
	var invalid *store.Invalid
	return errors.As(err, &invalid) && invalid.Field == field
}

// largest is a draft at every limit, of characters that JSON makes longest.
func largest() store.Draft {
	d := store.Draft{
		Name:   "x" + strings.Repeat("\u2028", store.MaxNameLength-1),
		Email:  strings.Repeat("e", 64) + "@" + strings.Repeat("d.", 94) + "x",
		Labels: make(map[string]string),
	}
	for i := range store.MaxLabels {
		d.Labels[fmt.Sprintf("k%0*d", store.MaxLabelKeyLength-1, i)] = strings.Repeat("\u2028", store.MaxLabelLength)
	}
	return d
}

func deleteRemovesOnce(t *testing.T, open Opener) {
	s := open.Open(t)
	put(t, s, "1", "one")
	two := put(t, s, "2", "two")
	if err := s.Delete(t.Context(), "1", once("key", 1)); err != nil { // a key is ignored
		t.Fatalf("Delete: %v", err)
	}
	if err := s.Delete(t.Context(), "1", once("key", 1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second Delete = %v, want ErrNotFound", err)
	}
	if got := all(t, s); !same(got, []store.Account{two}) {
		t.Errorf("store has %+v, want %+v alone", got, two)
	}
	if again := put(t, s, "1", "one"); again.Version != 1 {
		t.Errorf("version after Delete and Put = %d, want 1", again.Version)
	}
}

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
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", call, err)
		}
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
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", call, err)
		}
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
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("Put while closing: %v, want ErrUnavailable", err)
					}
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
