// Package store owns what an account is and what every store of accounts
// promises. It knows no database, no HTTP and no configuration.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors of every store, compared with errors.Is; *Invalid with errors.As.
var (
	// ErrNotFound: no account has this id.
	ErrNotFound = errors.New("account not found")
	// ErrExists: an account with this id is there, and was not to be.
	ErrExists = errors.New("account exists")
	// ErrVersion: the account is not there, or not in a state it was to have.
	ErrVersion = errors.New("account is in another state")
	// ErrKeyReused: another request was made under this key before.
	ErrKeyReused = errors.New("idempotency key belongs to another request")
	// ErrUnavailable: the store can't do this now; nothing was changed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown: the write may or may not have happened, and may still
	// be seen after a restart. Read before trying again.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrTooMuch: the accounts of one GetMany are too large together; ask for
	// fewer at a time.
	ErrTooMuch = errors.New("too much for one answer")
	// ErrNoSpace: the disk is full; nothing was changed, reads go on.
	ErrNoSpace = errors.New("no space left for the write")
)

// Store keeps accounts. All methods may be called from many goroutines at once.
// What they return shares no memory with the store or with what they were given.
//
// A method whose ctx ends before its work is done returns ctx's error, wrapped,
// and has changed nothing; only a write whose commit had begun by then returns
// ErrOutcomeUnknown instead. A store that is closed or has failed for good
// answers ErrUnavailable to everything.
//
// A write that returns without an error survives the death of process and
// machine. Of one that returns another error than ErrOutcomeUnknown, nothing
// was changed.
//
// Input out of its limits is an *Invalid, and nothing is changed.
type Store interface {
	// Get returns the account with this id, or ErrNotFound.
	Get(ctx context.Context, id ID) (Account, error)

	// GetMany returns those accounts of these ids that there are, in the order of
	// ids and each once, in one consistent view. More than MaxMany ids are an
	// *Invalid. A store bounds what it reads at once, in bytes: two accounts or
	// more that are beyond it are ErrTooMuch, one never is.
	GetMany(ctx context.Context, ids []ID) ([]Account, error)

	// List returns the accounts that q asks for, in ascending byte order of id.
	// Each page is one consistent view; two pages need not be of the same one.
	List(ctx context.Context, q Query) (Page, error)

	// Put makes draft the content of the account with this id, if terms allow. A
	// new account has version 1; each later Put adds 1, up to MaxVersion, and
	// leaves CreatedAt alone. ErrKeyReused, ErrExists and ErrVersion say which of
	// the terms failed.
	Put(ctx context.Context, id ID, draft Draft, terms Terms) (Written, error)

	// Update is a Put of what change makes of the account that is there, between
	// whose reading and writing nobody comes. Without an account it is
	// ErrNotFound, whatever terms ask; only terms.Once comes before that. An error
	// of change is returned, wrapped, and nothing is changed.
	//
	// change is asked after terms allow, inside the store's transaction, where all
	// other writes wait for it: it must be quick and depend on nothing but its
	// argument, which is its own. It may be asked more than once, and still be
	// asked when ctx has ended.
	Update(ctx context.Context, id ID, terms Terms, change func(Account) (Draft, error)) (Written, error)

	// Delete removes the account with this id, if terms allow. Terms that do not
	// hold come first: without an account, ErrNotFound is the answer only if they
	// ask for none. terms.Once is not looked at.
	Delete(ctx context.Context, id ID, terms Terms) error

	// Import puts these accounts as they are, all or none of them. An account
	// whose content (Draft) is already there is left alone, so that a repeated
	// Import changes nothing. A new one keeps the version and times it comes with;
	// zero ones become 1 and now. One that replaces another content keeps the
	// CreatedAt of the old, and its version is above that of the old unless that
	// is MaxVersion, its UpdatedAt not before. The accounts have distinct ids, are at most MaxMany
	// and each as Account.Validate wants it; else nothing is put and the error is
	// an *Invalid. A caller that streams bounds its pieces in bytes, too: they are
	// in memory, and on the way to the disk, at once.
	Import(ctx context.Context, accounts []Account) (Imported, error)

	// Seed puts these accounts into a new, empty store, all or none of them,
	// and returns how many it put. The first call that succeeds decides, with
	// an empty list too: from then on, and over any account already there,
	// Seed puts nothing and returns 0.
	Seed(ctx context.Context, seeds []Seeding) (int, error)

	// Secret returns random bytes, 16 at least, that were made for this store and
	// are the same at each opening and in each copy; nil if it has none. What is
	// authenticated with them is good wherever these accounts are. They are never
	// to be shown or logged.
	Secret() []byte

	// Close ends the store and lets go of what it holds. It waits for work
	// under way until ctx ends, then gives up with ctx's error. A second Close
	// does nothing.
	Close(ctx context.Context) error
}

// MaxMany bounds the accounts of one GetMany or Import.
const MaxMany = 10_000

// Query says which accounts List returns.
type Query struct {
	After ID  // only ids greater than this; "" is from the first
	Limit int // accounts in the page, at least 1

	// Only accounts that match; "" and the zero time match all.
	Name, NamePrefix string
	UpdatedSince     time.Time // updated at this moment or later; unknown times do not match
}

// Page is a part of a list.
type Page struct {
	Accounts []Account
	// Next is the After of the next page, "" when there is none. A store may end
	// a page before it is full, even empty, when few accounts match or when they
	// are large: only Next tells whether there are more.
	Next ID
}

// Terms are what must hold for a write to happen. The zero value is no terms.
type Terms struct {
	Absent    bool       // no account may have the id, or ErrExists
	Present   bool       // an account must have it, or ErrVersion
	Revisions []Revision // if not nil, it must be in one of these states, or ErrVersion
	Once      *Once      // if not nil, the write happens once
}

// Fingerprint tells one request from another: a hash of all that matters in it.
type Fingerprint [32]byte

// KeepAnswers is for how long a store remembers what was done under a key.
const KeepAnswers = 24 * time.Hour

// MaxAnswer is how many bytes an answer may have. The largest account in JSON,
// with every character escaped, has about 110,000.
const MaxAnswer = 192 << 10

// Once makes a write that is asked for again under the same key, within
// KeepAnswers, return what the first one returned and change nothing. The key
// is looked up before any other term.
type Once struct {
	Key         string // of one caller, and not empty; it is kept as a hash alone
	Fingerprint Fingerprint
	// Answer makes what is to be remembered, in the same transaction as the
	// write, at most MaxAnswer bytes. It is quick, and may be called more than once.
	Answer func(Written) []byte
}

// Written is what a Put or Update left behind.
type Written struct {
	Account Account
	Created bool
	// Replay, if not nil, is the Answer of an earlier write under the same key;
	// nothing was changed now, and the other fields are zero.
	Replay []byte
}

// Imported counts what Import did.
type Imported struct{ Created, Replaced, Unchanged int }

// Seeding is one account for Seed.
type Seeding struct {
	ID    ID
	Draft Draft
}
