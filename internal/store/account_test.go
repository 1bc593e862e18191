package store_test

import (
	"reflect"
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
