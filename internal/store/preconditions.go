package store

import (
	"cmp"
	"slices"
	"time"
)

// IdempotencyRecord is what a store keeps under an idempotency key.
type IdempotencyRecord struct {
	Fingerprint Fingerprint
	At          time.Time // of the write
	Answer      []byte
}

// Validate returns nil or *Invalid, for the id of a Put or Update, or for an empty idempotency key.
func (p Preconditions) Validate(id ID) error {
	if p.Idempotency != nil && p.Idempotency.Key == "" {
		return &Invalid{Field: "key", Reason: "must not be empty"}
	}
	_, err := ParseID(string(id))
	return err
}

// Allow returns nil if the stored account, or nil for none, meets p; else
// ErrExists, ErrVersion or *Invalid. It ignores p.Idempotency.
func (p Preconditions) Allow(old *Account) error {
	switch {
	case p.Absent && old != nil:
		return ErrExists
	case old == nil && (p.Present || p.Revisions != nil):
		return ErrVersion
	case p.Revisions != nil && !slices.Contains(p.Revisions, old.Revision()):
		return ErrVersion
	}
	given, stored := p.ReadOnly, Account{}
	if old != nil {
		stored = *old
	}
	given.Version = cmp.Or(given.Version, stored.Version)
	given.CreatedAt, given.UpdatedAt = cmp.Or(given.CreatedAt, stored.CreatedAt), cmp.Or(given.UpdatedAt, stored.UpdatedAt)
	return given.CheckReadOnly(stored)
}

// AllowPut is Allow for an account that may have a damage, which it returns if p asks for what is not known then.
func (p Preconditions) AllowPut(old *Account, damage error) error {
	switch {
	case damage == nil:
		return p.Allow(old)
	case p.Absent:
		return ErrExists
	case p.Revisions != nil || p.ReadOnly.CheckReadOnly(Account{}) != nil:
		return damage
	}
	return nil
}

// AllowDelete is AllowPut for a write that needs an account: without one it returns ErrNotFound.
func (p Preconditions) AllowDelete(old *Account, damage error) error {
	if old == nil && damage == nil {
		return ErrNotFound
	}
	return p.AllowPut(old, damage)
}

// AllowUpdate is AllowDelete for a write that needs what is stored.
func (p Preconditions) AllowUpdate(old *Account, damage error) error {
	if damage != nil {
		return damage
	}
	return p.AllowDelete(old, nil)
}

// CheckReadOnly returns *Invalid for the first of version and times in which a differs
// from the stored account, or nil. Times are compared in whole microseconds.
func (a Account) CheckReadOnly(stored Account) error {
	field := ""
	switch {
	case a.Version != stored.Version:
		field = "version"
	case !microseconds(a.CreatedAt).Equal(microseconds(stored.CreatedAt)):
		field = "created_at"
	case !microseconds(a.UpdatedAt).Equal(microseconds(stored.UpdatedAt)):
		field = "updated_at"
	default:
		return nil
	}
	return &Invalid{field, "is read-only: it must be that of the stored account, or absent"}
}

// Decide is the first step of every Put and Update. It returns the answer to repeat, or nil if the write is to be
// made, or why it is not: ErrKeyReused if kept, the record of the idempotency key, is of another request. kept is nil if
// there is none, and counts as none once it has expired. old is the stored account, or nil, and damage is what is wrong
// with it. allow is Preconditions.AllowPut or Preconditions.AllowUpdate.
func (p Preconditions) Decide(allow func(p Preconditions, old *Account, damage error) error,
	old *Account, damage error, kept *IdempotencyRecord, now time.Time) (replay []byte, err error) {
	switch {
	case p.Idempotency == nil || kept == nil || now.Sub(kept.At) >= IdempotencyRetention:
		return nil, allow(p, old, damage)
	case kept.Fingerprint != p.Idempotency.Fingerprint:
		return nil, ErrKeyReused
	case kept.Answer == nil:
		return []byte{}, nil
	}
	return kept.Answer, nil
}
