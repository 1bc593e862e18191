package storetest

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"accountservice/internal/store"
)

// renamed is a change of the name alone.
func renamed(name string) func(store.Account) (store.Draft, error) {
	return func(acc store.Account) (store.Draft, error) {
		draft := acc.Draft
		draft.Name = name
		return draft, nil
	}
}

// unasked is a change that must not be asked for.
func unasked(t *testing.T) func(store.Account) (store.Draft, error) {
	return func(store.Account) (store.Draft, error) {
		t.Error("the change was asked for")
		return store.Draft{Name: "x"}, nil
	}
}

func updateChangesWhatIsThere(t *testing.T, open Opener) {
	s := open.Open(t)
	labels := map[string]string{"a": "1"}
	_, err := s.Put(t.Context(), "1", store.Draft{Name: "one", Email: "a@example.org", Labels: labels}, store.Preconditions{})
	must(t, err)
	before := get(t, s, "1")
	given := map[string]string{"b": "2"}
	w, err := s.Update(t.Context(), "1", store.Preconditions{}, func(acc store.Account) (store.Draft, error) {
		if !acc.Equal(before) {
			t.Errorf("change is given %+v, want %+v", acc, before)
		}
		clear(acc.Labels) // its own
		return store.Draft{Name: "two", Email: acc.Email, Labels: given}, nil
	})
	given["b"] = "spoilt"
	want := store.Draft{Name: "two", Email: "a@example.org", Labels: map[string]string{"b": "2"}}
	if err != nil || w.Created || w.Replay != nil || !w.Account.Draft.Equal(want) || w.Account.Version != 2 || !w.Account.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("Update = %+v, %v", w, err)
	}
	w.Account.Labels = maps.Clone(want.Labels)
	if got := get(t, s, "1"); !got.Equal(w.Account) {
		t.Errorf("%+v is stored, want %+v", got, w.Account)
	}
}

// refusal is an error of a change, as a caller may have it.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

func updateThatFailsChangesNothing(t *testing.T, open Opener) {
	s := open.Open(t)
	before := put(t, s, "1", "one")
	mine := &refusal{"mine"}
	_, err := s.Update(t.Context(), "1", once("key", 1), func(store.Account) (store.Draft, error) { return store.Draft{Name: "x"}, mine })
	var got *refusal
	if !errors.As(err, &got) || got != mine || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Update = %v, want the error of its change", err)
	}
	_, err = s.Update(t.Context(), "1", once("key", 1), renamed(""))
	wantInvalid(t, "Update to no name", err, "name")
	_, err = s.Update(t.Context(), "1", once("key", 1), func(store.Account) (store.Draft, error) { panic("ordered") })
	if err == nil || !strings.Contains(err.Error(), "ordered") {
		t.Errorf("Update with a change that panics = %v", err)
	}
	wantInvalid(t, "Update of no id", errOf(s.Update(t.Context(), "a/b", store.Preconditions{}, unasked(t))), "id")
	wantInvalid(t, "Update under no key", errOf(s.Update(t.Context(), "1", once("", 1), unasked(t))), "key")
	if got := get(t, s, "1"); !got.Equal(before) {
		t.Errorf("%+v is stored, want %+v", got, before)
	}
	wantErr(t, "Lookup of a key that stays free", errOf(Lookup(t, s, "key", store.Fingerprint{1})), store.ErrNotFound)
}

func updateUnderAKeyHappensOnce(t *testing.T, open Opener) {
	s := open.Open(t)
	before := put(t, s, "1", "one")
	pre := once("key", 1)
	pre.Revisions = []store.Revision{before.Revision()}
	first, err := s.Update(t.Context(), "1", pre, renamed("two"))
	if err != nil || first.Account.Version != 2 {
		t.Fatalf("Update = %+v, %v", first, err)
	}
	for _, gone := range []bool{false, true} { // the key comes before all that does not hold any more
		if gone {
			remove(t, s, "1")
		}
		w, err := s.Update(t.Context(), "1", pre, unasked(t))
		if err != nil || string(w.Replay) != string(answer(first)) || !w.Account.Equal(store.Account{}) {
			t.Errorf("Update again, account gone: %t = %+v, %v; want the answer %q alone", gone, w, err, answer(first))
		}
		wantErr(t, "another request under the key", errOf(s.Update(t.Context(), "1", once("key", 2), unasked(t))), store.ErrKeyReused)
	}
}
