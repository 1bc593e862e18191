// Package store owns what an account is and what every store of accounts
// promises. It knows no database, no HTTP and no configuration.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Errors of every store. Compare them with errors.Is, and *Invalid with errors.As.
var (
	// ErrNotFound: no account has this id.
	ErrNotFound = errors.New("account not found")
	// ErrExists: an account with this id exists, and Preconditions.Absent was set.
	ErrExists = errors.New("account exists")
	// ErrVersion: the account does not exist, or has another revision than required.
	ErrVersion = errors.New("account has another revision")
	// ErrDamaged: an account has this id, and its record can't be read. See Store.
	ErrDamaged = errors.New("account is damaged")
	// ErrKeyReused: the idempotency key was used for another request.
	ErrKeyReused = errors.New("idempotency key belongs to another request")
	// ErrUnavailable: the store can't do this now; nothing was changed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown: the write may or may not have happened, and may become
	// visible only after a restart. Read before trying again.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrTooMuch: the accounts of one GetMany exceed the store's limit in bytes; ask for fewer at a time.
	ErrTooMuch = errors.New("too much for one answer")
	// ErrNoSpace: the disk is full; nothing was changed, and reads go on.
	ErrNoSpace = errors.New("no space left for the write")
)

// Wrap adds its operation to the error of a call that defers it.
func Wrap(operation string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", operation, *err)
	}
}

// Store keeps accounts. All methods may be called concurrently. What they return
// shares no memory with the store or with their arguments.
//
// A write that returns nil survives a crash of the process and of the machine. A
// write that returns any error but ErrOutcomeUnknown has changed nothing.
//
// When ctx ends before the work is done, a method returns ctx's error, wrapped, which is not ErrUnavailable, and has
// changed nothing. Only a write whose commit has already begun returns ErrOutcomeUnknown instead. A store that is
// closed, or that has failed for good, returns ErrUnavailable from every method but Close.
//
// Input beyond the limits is an *Invalid, and nothing is changed.
//
// A store may find that the record of an account is damaged. Such an account exists; its content, revision, version and
// times are not known, and no other account is concerned. Get and Update return ErrDamaged for it, GetMany and List
// name it in Damaged. Put and Import replace it, and Delete removes it. A precondition on what is not known, Revisions
// or ReadOnly, makes Put and Delete return ErrDamaged.
type Store interface {
	// Get returns the account with this id, ErrNotFound, or ErrDamaged.
	Get(ctx context.Context, id ID) (Account, error)

	// Peek returns what Get would, if that is known without waiting for anything: no disk, no other call. The result is
	// shared and must not be changed. ok is false when it is not known, and when Get would return an error: ask Get.
	Peek(id ID) (acc *Encoded, ok bool)

	// GetMany returns the existing accounts among ids, in the order of ids, each once, from one consistent view. More than
	// MaxMany ids are an *Invalid. A store may limit the bytes of one answer: more than one account beyond that limit is
	// ErrTooMuch; a single account never is.
	GetMany(ctx context.Context, ids []ID) (Found, error)

	// List returns the accounts that match q, in ascending byte order of id.
	// Each page is one consistent view; two pages may be of different views.
	List(ctx context.Context, q Query) (Page, error)

	// Put stores draft as the content of the account with this id, if pre holds. A new account has version 1; each later
	// Put of other content adds 1, up to MaxVersion, and keeps CreatedAt. Next says so. A Put of the content that is
	// stored changes no member, and it returns nil only after a commit, like every write: the stored content may be that
	// of a write that is not durable yet. ErrKeyReused, ErrExists, ErrVersion and *Invalid name the precondition that
	// failed, or content that Replaced refuses; the idempotency key is looked up first. In place of a damaged account, the
	// new one has version 1 and no CreatedAt.
	Put(ctx context.Context, id ID, draft Draft, pre Preconditions) (Written, error)

	// Update reads the account, calls change and writes the result atomically, as Put does. A missing account is
	// ErrNotFound and a damaged one ErrDamaged, whatever pre says; only the idempotency key is looked up before that. An
	// error of change is returned, wrapped, and nothing is changed. Content that change leaves as it was is not validated.
	//
	// The store calls change inside its transaction, after it has checked pre. So change must be quick, use only its
	// argument, which it owns, and give the same result when it is called again. It may be called after ctx has ended.
	Update(ctx context.Context, id ID, pre Preconditions, change func(Account) (Draft, error)) (Written, error)

	// Delete removes the account with this id, if pre holds. A missing account is
	// ErrNotFound, whatever pre says. Delete ignores pre.Idempotency.
	Delete(ctx context.Context, id ID, pre Preconditions) error

	// Import stores these accounts as they are, all or none. They are at most MaxMany, and each passes Account.Validate;
	// else the error is an *Invalid. ImportChanges says what becomes of each: an account whose content is already stored is
	// left alone, so a repeated Import of distinct ids changes nothing. Several of one id are stored one after another, and
	// each counts. In place of a damaged account it stores the given one as if it were new, and counts it as replaced. The
	// caller limits the bytes of one Import, because it is held in memory as a whole.
	Import(ctx context.Context, accounts []Account) (Imported, error)

	// Seed stores these accounts in a new, empty store, in pieces, and returns how many it stored. After a call that ended
	// early, the next one stores those that are missing; it must be given the same ones. The first call that succeeds
	// decides, even with no accounts: later calls, and calls on a store that has other accounts, store nothing and return 0.
	Seed(ctx context.Context, accounts iter.Seq[Account]) (int, error)

	// Close ends the store and releases what it holds. It waits for work under
	// way until ctx ends, and then returns ctx's error, if a write may be under way. A second Close does nothing.
	Close(ctx context.Context) error
}

// MaxMany bounds the accounts of one GetMany or Import.
const MaxMany = 10_000

// Query says which accounts List returns.
type Query struct {
	After ID  // only ids greater than this; "" starts at the first
	Limit int // most accounts in the page, at least 1

	// Filters; "" and the zero time match every account.
	Name, NamePrefix, Email string
	LabelKey, LabelValue    string    // the label has this value, which may be empty
	UpdatedSince            time.Time // updated at this time or later; an unknown time does not match
}

// Found is what GetMany found.
type Found struct {
	Accounts []Account
	Damaged  []ID // in the order of ids, each once
}

// Page is one page of a list.
type Page struct {
	Accounts []Account
	// Damaged are the damaged accounts between those of the page, in order, whether they would match or not. Both
	// together are at most Query.Limit.
	Damaged []ID
	// Next is the After of the next page, "" on the last one. A store may end a page before it is full, and even empty, to
	// limit the work of one call: only Next says whether there are more.
	Next ID
}

// Preconditions must hold for a write to happen. The zero value always holds.
type Preconditions struct {
	Absent      bool         // no account may have the id, else ErrExists
	Present     bool         // an account must have the id, else ErrVersion
	Revisions   []Revision   // if not nil, the account must have one of these, else ErrVersion
	ReadOnly    Account      // of a Put: its version and times, if not zero, must be those of the account, else *Invalid
	Idempotency *Idempotency // if not nil, the write happens once
}

// Fingerprint distinguishes requests: a hash over everything that matters in one.
type Fingerprint [32]byte

// IdempotencyRetention is how long a store remembers an idempotency key.
const IdempotencyRetention = 24 * time.Hour

// MaxAnswer limits a remembered answer, in bytes. The largest account in JSON,
// with every character escaped, has about 110,000.
const MaxAnswer = 192 << 10

// Idempotency makes a write happen once: the same key, within IdempotencyRetention, returns the answer to the first
// write and changes nothing. The key is looked up before any other precondition.
type Idempotency struct {
	Key         string // names the caller too; not empty; only its hash is stored
	Fingerprint Fingerprint
	// Answer returns what to remember, at most MaxAnswer bytes. The store calls it
	// in the transaction of the write; it must be quick, and may be called again.
	Answer func(Written) []byte
}

// Written is the result of a Put or Update.
type Written struct {
	Account Account
	Created bool
	// Replay, if not nil, is the remembered Answer of an earlier write with the
	// same key; nothing was changed now, and the other fields are zero.
	Replay []byte
}

// Imported counts what Import did.
type Imported struct{ Created, Replaced, Unchanged int }
