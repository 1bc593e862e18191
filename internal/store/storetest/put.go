package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
)

func getReturnsWhatPutStored(t *testing.T, open Opener) {
	s := open.Open(t)
	name := "Zoë “quoted” \\ <&> 日本 🙂"
	draft := allFields(t, store.Draft{Name: name, Email: "zoë@example.org", Labels: map[string]string{"team": "blue", "A.b_c-1": "", "9": "日本 🙂 \\ <&>"}})
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
		wantErr(t, fmt.Sprint("Get of ", other), errOf(s.Get(t.Context(), other)), store.ErrNotFound)
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
	must(t, err)
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
		_, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{ReadOnly: bad.given})
		wantInvalid(t, "Put with another "+name, err, bad.field)
	}
	wantInvalid(t, "Put of a new account with a version", errOf(s.Put(t.Context(), "2", store.Draft{Name: "x"}, store.Preconditions{ReadOnly: stored})), "version")
	stale := store.Preconditions{ReadOnly: store.Account{Version: 1}, Revisions: []store.Revision{"1-none"}}
	wantErr(t, "Put with another version and revision", errOf(s.Put(t.Context(), "1", store.Draft{Name: "x"}, stale)), store.ErrVersion)
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
		wantInvalid(t, fmt.Sprintf("Put(%q, %q)", bad.id, bad.draft), err, bad.field)
		_, err = s.Import(t.Context(), []store.Account{named("2", "two"), {ID: bad.id, Draft: bad.draft}})
		wantInvalid(t, fmt.Sprintf("Import(%q, %q)", bad.id, bad.draft), err, bad.field)
	}
	err := errOf(s.Put(t.Context(), "1", store.Draft{}, store.Preconditions{Absent: true}))
	wantErr(t, "Put of nothing where an account is", err, store.ErrExists)
	if got := all(t, s); !same(got, []store.Account{before}) {
		t.Errorf("store has %+v, want %+v alone", got, before)
	}
	if _, err := s.Put(t.Context(), store.ID(strings.Repeat("a", store.MaxIDLength)), largest(), store.Preconditions{}); err != nil {
		t.Errorf("the largest account: %v", err)
	}
}

// badAccounts break one rule for each field. Package store tests the other rules.
var badAccounts = []struct {
	id    store.ID
	draft store.Draft
	field string
}{
	{"1", store.Draft{}, "name"},
	{"1", store.Draft{Name: "a\x00b"}, "name"},
	{"", store.Draft{Name: "x"}, "id"},
	{"a/b", store.Draft{Name: "x"}, "id"},
	{"1", store.Draft{Name: "x", Email: "nobody"}, "email"},
	{"1", store.Draft{Name: "x", Labels: map[string]string{"": "x"}}, "labels"},
	{"1", store.Draft{Name: "x", Labels: map[string]string{"a": "a\nb"}}, "labels/a"},
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
	one, two := put(t, s, "1", "one"), put(t, s, "2", "two")
	if err := s.Delete(t.Context(), "1", once("key", 1)); err != nil { // a key is ignored
		t.Fatalf("Delete: %v", err)
	}
	wantErr(t, "second Delete", s.Delete(t.Context(), "1", once("key", 1)), store.ErrNotFound)
	if got := all(t, s); !same(got, []store.Account{two}) {
		t.Errorf("store has %+v, want %+v alone", got, two)
	}
	if again := put(t, s, "1", "one"); again.Version != 1 || again.Revision() == one.Revision() {
		t.Errorf("after Delete and Put %+v, want version 1 of another account than %+v", again, one)
	}
}
