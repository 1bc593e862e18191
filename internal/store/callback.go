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
	err = recovered("making the change", func() error { draft, err = change(own); return err })
	if err == nil {
		err = draft.validateChange(old.Draft)
	}
	return draft, err
}

// Replaced returns the content that a Put of draft leaves in place of old, or nil for none. It validates what is not the
// same in old.
func Replaced(old *Account, draft Draft) (Draft, error) {
	if old == nil || draft.Name == "" { // a damaged account has no name
		return draft, draft.Validate()
	}
	return draft, draft.validateChange(old.Draft)
}

// AnswerTo returns what to remember of a write. It returns a panic in Answer, and an answer longer than MaxAnswer, as
// an error.
func (i *Idempotency) AnswerTo(w Written) (answer []byte, err error) {
	err = recovered("making the answer", func() error { answer = i.Answer(w); return nil })
	if err == nil && len(answer) > MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, and %d are kept", len(answer), MaxAnswer)
	}
	return answer, err
}

// recovered calls a function that the caller of a store gave, and returns a panic in it as an error: a fault of the
// caller must not end the store.
func recovered(doing string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s: panic: %v", doing, v)
		}
	}()
	return f()
}
