package store_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"accountservice/internal/store"
)

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

// What no rule refuses is stored. What is stored already must not stand in the way of a change of another field.
func TestEveryFieldOfTheContentHasARule(t *testing.T) {
	refused := store.Draft{Name: "\x00", Email: "\x00", Labels: map[string]string{"x": "\x00"}}
	for i, field := range reflect.VisibleFields(reflect.TypeFor[store.Draft]()) {
		member, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, draft := reflect.ValueOf(refused).Field(i), store.Draft{Name: "x"}
		if value.IsZero() {
			t.Errorf("%s has no value in this test that is refused", field.Name)
		}
		reflect.ValueOf(&draft).Elem().Field(i).Set(value)
		var invalid *store.Invalid
		if err := draft.Validate(); !errors.As(err, &invalid) || !strings.HasPrefix(invalid.Field, member) {
			t.Errorf("Validate(%+v) = %v, want *Invalid of %s", draft, err, member)
		}
		unchanged := func(store.Account) (store.Draft, error) { return draft, nil }
		if _, err := store.Changed(&store.Account{Draft: draft}, unchanged); err != nil {
			t.Errorf("validateChange does not leave %s as it is: %v", field.Name, err)
		}
	}
}
