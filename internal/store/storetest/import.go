package storetest

import (
	"fmt"
	"testing"
	"time"

	"accountservice/internal/store"
)

func importKeepsWhatItIsGiven(t *testing.T, open Opener) {
	c := newClock()
	s := open(t, c.now)
	day := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
	in := []store.Account{
		{ID: "b", Draft: store.Draft{Name: "bee", Email: "b@example.org", Labels: map[string]string{"a": "1"}}, Version: 7, CreatedAt: day, UpdatedAt: day.Add(time.Hour)},
		{ID: "a", Draft: store.Draft{Name: "ay"}, Version: 1, CreatedAt: day, UpdatedAt: day},
	}
	if done, err := s.Import(t.Context(), append(in, store.Account{ID: "c", Draft: store.Draft{Name: "new"}})); err != nil || done != (store.Imported{Created: 3}) {
		t.Fatalf("Import = %+v, %v", done, err)
	}
	now := c.now().UTC()
	want := []store.Account{in[1], in[0], {ID: "c", Draft: store.Draft{Name: "new"}, Version: 1, CreatedAt: now, UpdatedAt: now}}
	if got := all(t, s); !same(got, want) {
		t.Errorf("store has %+v, want %+v", got, want)
	}
	c.advance(time.Hour)
	in[0].Version, in[0].UpdatedAt = 99, day.Add(9*time.Hour) // the content is there
	if done, err := s.Import(t.Context(), in); err != nil || done != (store.Imported{Unchanged: 2}) {
		t.Errorf("Import again = %+v, %v", done, err)
	}
	Close(t, s)
	if got := all(t, open.Open(t)); !same(got, want) {
		t.Errorf("after importing again %+v, want %+v", got, want)
	}
}

func importReplacesUpwards(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	old := put(t, s, "1", "old")
	old = put(t, s, "1", "older")
	long := old.CreatedAt.Add(-1000 * time.Hour)
	in := store.Account{ID: "1", Draft: store.Draft{Name: "new"}, Version: 1, CreatedAt: long, UpdatedAt: long}
	if done, err := s.Import(t.Context(), []store.Account{in, {ID: "2", Draft: store.Draft{Name: "two"}}}); err != nil || done != (store.Imported{Created: 1, Replaced: 1}) {
		t.Fatalf("Import = %+v, %v", done, err)
	}
	if got := get(t, s, "1"); got.Name != "new" || got.Version <= old.Version || !got.CreatedAt.Equal(old.CreatedAt) || got.UpdatedAt.Before(old.UpdatedAt) {
		t.Errorf("account = %+v after %+v", got, old)
	}
	later := old.UpdatedAt.Add(time.Hour)
	if _, err := s.Import(t.Context(), []store.Account{{ID: "1", Draft: store.Draft{Name: "newer"}, Version: 50, CreatedAt: long, UpdatedAt: later}}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "1"); got.Version != 50 || !got.UpdatedAt.Equal(later) || !got.CreatedAt.Equal(old.CreatedAt) {
		t.Errorf("account = %+v, want version 50 of %v, made at %v", got, later, old.CreatedAt)
	}
}

func importIsAllOrNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	one := put(t, s, "1", "one")
	many := make([]store.Account, store.MaxMany+1)
	for i := range many {
		many[i] = store.Account{ID: store.ID(fmt.Sprint(i)), Draft: store.Draft{Name: "x"}}
	}
	for _, bad := range []struct {
		accounts []store.Account
		field    string
	}{
		{many, "accounts"},
		{[]store.Account{{ID: "2", Draft: store.Draft{Name: "x"}}, {ID: "3", Draft: store.Draft{Name: "x"}}, {ID: "2", Draft: store.Draft{Name: "y"}}}, "id"},
		{[]store.Account{{ID: "2", Draft: store.Draft{Name: "x"}}, {ID: "3", Draft: store.Draft{Name: "x"}, Version: -1}}, "version"},
		{[]store.Account{{ID: "2", Draft: store.Draft{Name: "x"}}, {ID: "3", Draft: store.Draft{Name: "x"}, CreatedAt: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}}, "created_at"},
	} {
		if _, err := s.Import(t.Context(), bad.accounts); !isInvalid(err, bad.field) {
			t.Errorf("Import = %v, want *Invalid of %s", err, bad.field)
		}
	}
	if got := all(t, s); !same(got, []store.Account{one}) {
		t.Errorf("store has %d accounts, want one", len(got))
	}
	if done, err := s.Import(t.Context(), many[:store.MaxMany]); err != nil || done.Created != store.MaxMany-1 || done.Replaced != 1 {
		t.Errorf("Import of %d = %+v, %v", store.MaxMany, done, err)
	}
	if done, err := s.Import(t.Context(), nil); err != nil || done != (store.Imported{}) {
		t.Errorf("Import of none = %+v, %v", done, err)
	}
}

func resultsShareNoMemory(t *testing.T, open Opener) {
	s := open.Open(t)
	mine := map[string]string{"a": "1"}
	spoil := func(labels map[string]string) { labels["a"] = "spoilt"; labels["b"] = "spoilt" }
	w, err := s.Put(t.Context(), "1", store.Draft{Name: "x", Labels: mine}, store.Preconditions{})
	if err != nil {
		t.Fatal(err)
	}
	spoil(mine)
	spoil(w.Account.Labels)
	many, err := s.GetMany(t.Context(), []store.ID{"1"})
	if err != nil || len(many) != 1 {
		t.Fatalf("GetMany = %+v, %v", many, err)
	}
	for _, acc := range append(many, all(t, s)[0], get(t, s, "1")) {
		if !acc.Draft.Equal(store.Draft{Name: "x", Labels: map[string]string{"a": "1"}}) {
			t.Errorf("account = %+v", acc)
		}
		spoil(acc.Labels)
	}
	in := []store.Account{{ID: "2", Draft: store.Draft{Name: "x", Labels: map[string]string{"a": "1"}}}}
	if _, err := s.Import(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	spoil(in[0].Labels)
	if got := get(t, s, "2"); len(got.Labels) != 1 || got.Labels["a"] != "1" {
		t.Errorf("imported account = %+v", got)
	}
	if _, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, once("key", 1)); err != nil {
		t.Fatal(err)
	}
	again, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, once("key", 1))
	if err != nil || len(again.Replay) == 0 {
		t.Fatalf("Put again = %+v, %v", again, err)
	}
	clear(again.Replay)
	if got, err := Lookup(t, s, "key", store.Fingerprint{1}); err != nil || got[0] != '1' {
		t.Errorf("Lookup = %q, %v", got, err)
	}
}
