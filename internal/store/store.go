// Package store owns what an account is and what every store of accounts
// promises. It knows no database, no HTTP and no configuration.
package store

import (
	"context"
	"errors"
)

// Errors of every store, compared with errors.Is; *Invalid with errors.As.
var (
	// ErrNotFound: no account has this id.
	ErrNotFound = errors.New("account not found")
	// ErrUnavailable: the store can't do this now; nothing was changed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown: the write may or may not have happened, and may still
	// be seen after a restart. Read before trying again.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrNoSpace: the disk is full; nothing was changed, reads go on.
	ErrNoSpace = errors.New("no space left for the write")
)

// Store keeps accounts. All methods may be called from many goroutines at once.
//
// A method whose ctx ends before its work is done returns ctx's error, wrapped,
// and has changed nothing; only a write whose commit had begun by then returns
// ErrOutcomeUnknown instead. A store that is closed or has failed for good
// answers ErrUnavailable to everything.
type Store interface {
	// Get returns the account with this id, or ErrNotFound.
	// The caller owns the result.
	Get(ctx context.Context, id ID) (Account, error)

	// List returns up to limit accounts whose id is greater than after, in
	// ascending byte order of id. "" as after starts at the first; limit is at
	// least 1. Fewer than limit accounts mean that there are no more. Each page
	// is one consistent view; two pages need not be of the same one.
	List(ctx context.Context, after ID, limit int) ([]Account, error)

	// Put makes draft the content of the account with this id, created by this
	// call or not, and returns the account as stored. A new account has version
	// 1; each later Put adds 1 and leaves CreatedAt alone. An id or draft out of
	// its limits is an *Invalid and changes nothing. When Put returns without
	// an error, the account survives the death of process and machine.
	Put(ctx context.Context, id ID, draft Draft) (acc Account, created bool, err error)

	// Delete removes the account with this id, or returns ErrNotFound. It is
	// as durable as Put.
	Delete(ctx context.Context, id ID) error

	// Seed puts these accounts into a new, empty store, all or none of them,
	// and returns how many it put. The first call that succeeds decides, with
	// an empty list too: from then on, and over any account already there,
	// Seed puts nothing and returns 0.
	Seed(ctx context.Context, seeds []Seeding) (int, error)

	// Close ends the store and lets go of what it holds. It waits for work
	// under way until ctx ends, then gives up with ctx's error. A second Close
	// does nothing.
	Close(ctx context.Context) error
}

// Seeding is one account for Seed.
type Seeding struct {
	ID    ID
	Draft Draft
}
