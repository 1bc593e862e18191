package storetest

import (
	"fmt"
	"testing"
	"time"

	"accountservice/internal/store"
)

// imports wants this of an import.
func imports(t *testing.T, s store.Store, accounts []store.Account, want store.Imported) {
	t.Helper()
	if done, err := s.Import(t.Context(), accounts); err != nil || done != want {
		t.Errorf("Import of %d = %+v, %v, want %+v", len(accounts), done, err, want)
	}
}

// named is an account of an import with no more than a name.
func named(id store.ID, name string) store.Account {
	return store.Account{ID: id, Draft: store.Draft{Name: name}}
}

// numbered are n of them.
func numbered(n int, id string) (accounts []store.Account) {
	for i := range n {
		accounts = append(accounts, named(store.ID(fmt.Sprintf(id, i)), fmt.Sprint("name ", i)))
	}
	return accounts
}

func importKeepsWhatItIsGiven(t *testing.T, open Opener) {
	c := newClock()
	s := open(t, c.now)
	day := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
	bee := allFields(t, store.Draft{Name: "bee", Email: "b@example.org", Labels: map[string]string{"a": "1"}})
	in := []store.Account{
		{ID: "b", Draft: bee, Version: 7, CreatedAt: day, UpdatedAt: day.Add(time.Hour)},
		{ID: "a", Draft: store.Draft{Name: "ay"}, Version: 1, CreatedAt: day, UpdatedAt: day},
	}
	imports(t, s, append(in, named("c", "new")), store.Imported{Created: 3})
	third := named("c", "new")
	third.Version, third.CreatedAt, third.UpdatedAt = 1, c.now().UTC(), c.now().UTC()
	want := []store.Account{in[1], in[0], third}
	if got := all(t, s); !same(got, want) {
		t.Errorf("store has %+v, want %+v", got, want)
	}
	c.advance(time.Hour)
	in[0].Version, in[0].UpdatedAt = 99, day.Add(9*time.Hour) // the content is there
	imports(t, s, in, store.Imported{Unchanged: 2})
	Close(t, s)
	if got := all(t, open.Open(t)); !same(got, want) {
		t.Errorf("after importing again %+v, want %+v", got, want)
	}
}

func importReplacesUpwards(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	put(t, s, "1", "old")
	old := put(t, s, "1", "older")
	in := named("1", "new")
	in.Version, in.CreatedAt = 1, old.CreatedAt.Add(-1000*time.Hour)
	in.UpdatedAt = in.CreatedAt
	imports(t, s, []store.Account{in, named("2", "two")}, store.Imported{Created: 1, Replaced: 1})
	got := get(t, s, "1")
	if got.Name != "new" || got.Version <= old.Version {
		t.Errorf("account = %+v after %+v", got, old)
	}
	if !got.CreatedAt.Equal(old.CreatedAt) || got.UpdatedAt.Before(old.UpdatedAt) {
		t.Errorf("times %v and %v after %+v", got.CreatedAt, got.UpdatedAt, old)
	}
	in.Name, in.Version, in.UpdatedAt = "newer", 50, old.UpdatedAt.Add(time.Hour)
	imports(t, s, []store.Account{in}, store.Imported{Replaced: 1})
	in.CreatedAt = old.CreatedAt
	if got := get(t, s, "1"); !got.Equal(in) {
		t.Errorf("account = %+v, want %+v", got, in)
	}
}

func importIsAllOrNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	one := put(t, s, "1", "one")
	many := numbered(store.MaxMany+1, "%d")
	negative, late := named("3", "x"), named("3", "x")
	negative.Version, late.CreatedAt = -1, time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, bad := range []struct {
		accounts []store.Account
		field    string
	}{
		{many, "accounts"},
		{[]store.Account{named("2", "x"), negative}, "version"},
		{[]store.Account{named("2", "x"), late}, "created_at"},
	} {
		wantInvalid(t, "Import", errOf(s.Import(t.Context(), bad.accounts)), bad.field)
	}
	if got := all(t, s); !same(got, []store.Account{one}) {
		t.Errorf("store has %d accounts, want one", len(got))
	}
	imports(t, s, many[:store.MaxMany], store.Imported{Created: store.MaxMany - 1, Replaced: 1})
	imports(t, s, nil, store.Imported{})
}

// importStoresOneIDInItsOrder wants of an Import with repeated ids what Imports of one account each do.
func importStoresOneIDInItsOrder(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	given := func(prefix store.ID) (in []store.Account) {
		put(t, s, prefix+"b", "old")
		put(t, s, prefix+"c", "2")
		for _, line := range [][2]string{{"c", "1"}, {"b", "first"}, {"a", "new"}, {"b", "old"}, {"b", "old"}, {"b", "high"},
			{"c", "2"}, {"b", "last"}, {"c", "2"}} {
			in = append(in, named(prefix+store.ID(line[0]), line[1]))
		}
		in[5].Version, in[5].CreatedAt = 40, c.now().Add(-time.Hour)
		return in
	}
	var want store.Imported
	for _, acc := range given("one-") {
		n, err := s.Import(t.Context(), []store.Account{acc})
		must(t, err)
		want.Created, want.Replaced, want.Unchanged = want.Created+n.Created, want.Replaced+n.Replaced, want.Unchanged+n.Unchanged
	}
	if want != (store.Imported{Created: 1, Replaced: 6, Unchanged: 2}) {
		t.Errorf("one by one they count %+v", want)
	}
	imports(t, s, given("all-"), want)
	for _, id := range []store.ID{"a", "b", "c"} {
		got, want := get(t, s, "all-"+id), get(t, s, "one-"+id)
		if got.ID = want.ID; !got.Equal(want) {
			t.Errorf("account = %+v, want %+v", got, want)
		}
	}
}

func resultsShareNoMemory(t *testing.T, open Opener) {
	s := open.Open(t)
	mine := map[string]string{"a": "1"}
	spoil := func(labels map[string]string) { labels["a"] = "spoilt"; labels["b"] = "spoilt" }
	w, err := s.Put(t.Context(), "1", store.Draft{Name: "x", Labels: mine}, store.Preconditions{})
	must(t, err)
	spoil(mine)
	spoil(w.Account.Labels)
	found, err := s.GetMany(t.Context(), []store.ID{"1"})
	many := found.Accounts
	if err != nil || len(many) != 1 {
		t.Fatalf("GetMany = %+v, %v", many, err)
	}
	for _, acc := range append(many, all(t, s)[0], get(t, s, "1")) {
		if !acc.Draft.Equal(store.Draft{Name: "x", Labels: map[string]string{"a": "1"}}) {
			t.Errorf("account = %+v", acc)
		}
		spoil(acc.Labels)
	}
	labelled := named("2", "x")
	labelled.Labels = map[string]string{"a": "1"}
	imports(t, s, []store.Account{labelled}, store.Imported{Created: 1})
	spoil(labelled.Labels)
	if got := get(t, s, "2"); len(got.Labels) != 1 || got.Labels["a"] != "1" {
		t.Errorf("imported account = %+v", got)
	}
	_, err = s.Put(t.Context(), "1", store.Draft{Name: "x"}, once("key", 1))
	must(t, err)
	again, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, once("key", 1))
	if err != nil || len(again.Replay) == 0 {
		t.Fatalf("Put again = %+v, %v", again, err)
	}
	clear(again.Replay)
	if got, err := Lookup(t, s, "key", store.Fingerprint{1}); err != nil || got[0] != '1' {
		t.Errorf("Lookup = %q, %v", got, err)
	}
}
