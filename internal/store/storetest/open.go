package storetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"accountservice/internal/store"
)

// Opener opens the same store each time, with this clock; the first time it is new and empty.
type Opener func(t *testing.T, now func() time.Time) store.Store

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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// errOf is the error of a call.
func errOf[T any](_ T, err error) error { return err }

// wantErr wants this error of what was done.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// wantInvalid wants *store.Invalid of this field.
func wantInvalid(t *testing.T, what string, err error, field string) {
	t.Helper()
	var invalid *store.Invalid
	if !errors.As(err, &invalid) || invalid.Field != field {
		t.Errorf("%s = %v, want *Invalid of %s", what, err, field)
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

// allFields returns draft, all of whose fields have a value, so that a store which keeps one of them nowhere fails its
// test.
func allFields(t *testing.T, draft store.Draft) store.Draft {
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
