package store

import (
	"fmt"
	"maps"
)

// Changed returns the content that the change of an Update makes of old. It validates the content, and returns a panic
// in change as an error. change gets labels of its own.
func Changed(old *Account, change func(Account) (Draft, error)) (draft Draft, err error) {
	own := *old
	own.Labels = maps.Clone(old.Labels)
	err = Recovered("making the change", func() error { draft, err = change(own); return err })
	if err == nil {
		err = draft.ValidateChange(old.Draft)
	}
	return draft, err
}

// Recovered calls a function that the caller of a store gave, and returns a panic in it as an error: a fault of the
// caller must not end the store.
func Recovered(doing string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s: panic: %v", doing, v)
		}
	}()
	return f()
}
