package store

import (
	"context"
	"fmt"
	"iter"
)

// Unavailable stands in for a store that is not open yet: every method but Close
// returns ErrUnavailable with this reason.
type Unavailable string

var _ Store = Unavailable("")

func (u Unavailable) err() error { return fmt.Errorf("%w: %s", ErrUnavailable, string(u)) }

func (u Unavailable) Get(context.Context, ID) (Account, error)     { return Account{}, u.err() }
func (u Unavailable) Peek(ID) (*Encoded, bool)                     { return nil, false }
func (u Unavailable) GetMany(context.Context, []ID) (Found, error) { return Found{}, u.err() }
func (u Unavailable) List(context.Context, Query) (Page, error)    { return Page{}, u.err() }
func (u Unavailable) Put(context.Context, ID, Draft, Preconditions) (Written, error) {
	return Written{}, u.err()
}
func (u Unavailable) Update(context.Context, ID, Preconditions, func(Account) (Draft, error)) (Written, error) {
	return Written{}, u.err()
}
func (u Unavailable) Delete(context.Context, ID, Preconditions) error      { return u.err() }
func (u Unavailable) Import(context.Context, []Account) (Imported, error)  { return Imported{}, u.err() }
func (u Unavailable) Seed(context.Context, iter.Seq[Account]) (int, error) { return 0, u.err() }
func (u Unavailable) Close(context.Context) error                          { return nil }
