package store_test

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"accountservice/internal/store"
)

func TestRevisionTellsEveryFieldFromEveryOther(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	base := store.Account{ID: "1", Draft: store.Draft{Name: "n", Email: "e", Labels: map[string]string{"a": "b", "c": "d"}}, Version: 7, CreatedAt: day, UpdatedAt: day}
	seen := map[store.Revision]string{base.Revision(): "base"}
	for name, change := range map[string]func(a *store.Account){
		"id":              func(a *store.Account) { a.ID = "2" },
		"name":            func(a *store.Account) { a.Name = "m" },
		"email":           func(a *store.Account) { a.Email = "" },
		"name and email":  func(a *store.Account) { a.Name, a.Email = "ne", "" },
		"email and name":  func(a *store.Account) { a.Name, a.Email = "", "ne" },
		"a label's value": func(a *store.Account) { a.Labels = map[string]string{"a": "b", "c": "e"} },
		"a label's key":   func(a *store.Account) { a.Labels = map[string]string{"a": "b", "e": "d"} },
		"one label":       func(a *store.Account) { a.Labels = map[string]string{"a": "bcd"} },
		"other pairs":     func(a *store.Account) { a.Labels = map[string]string{"a": "c", "b": "d"} },
		"no label":        func(a *store.Account) { a.Labels = nil },
		"version":         func(a *store.Account) { a.Version++ },
		"created":         func(a *store.Account) { a.CreatedAt = day.Add(time.Microsecond) },
		"updated":         func(a *store.Account) { a.UpdatedAt = day.Add(time.Microsecond) },
		"times swapped":   func(a *store.Account) { a.CreatedAt, a.UpdatedAt = day.Add(1e6), day },
		"times swapped 2": func(a *store.Account) { a.CreatedAt, a.UpdatedAt = day, day.Add(1e6) },
		"no times":        func(a *store.Account) { a.CreatedAt, a.UpdatedAt = time.Time{}, time.Time{} },
	} {
		acc := base
		change(&acc)
		r := acc.Revision()
		if was, is := seen[r]; is {
			t.Errorf("%s has the revision of %s", name, was)
		}
		seen[r] = name
		if !regexp.MustCompile(`^[78]-[A-Za-z0-9_-]{16}$`).MatchString(string(r)) {
			t.Errorf("%s has revision %s", name, r)
		}
	}
	same := base
	same.Labels = map[string]string{"c": "d", "a": "b"}
	same.CreatedAt = day.In(time.FixedZone("", 3600))
	if same.Revision() != base.Revision() {
		t.Error("the same account has two revisions")
	}
	if a, b := (store.Account{ID: "1"}), (store.Account{ID: "1", Draft: store.Draft{Labels: map[string]string{}}}); a.Revision() != b.Revision() {
		t.Error("no labels and none are two revisions")
	}
}

// A field that Equal forgets is lost by a change of that field alone, and one that Revision forgets lets two contents
// have one ETag.
func TestEveryFieldOfTheContentCounts(t *testing.T) {
	other := store.Draft{Name: "x", Email: "x", Labels: map[string]string{"x": ""}}
	values := reflect.ValueOf(other)
	for i := range values.NumField() {
		name, changed := values.Type().Field(i).Name, store.Draft{}
		reflect.ValueOf(&changed).Elem().Field(i).Set(values.Field(i))
		if values.Field(i).IsZero() || changed.Equal(store.Draft{}) {
			t.Errorf("%s is not compared by Equal, or has no value in this test", name)
		}
		if (store.Account{Draft: changed}).Revision() == (store.Account{}).Revision() {
			t.Errorf("%s is no part of the revision", name)
		}
	}
}
