package store

import (
	"cmp"
	"maps"
	"strings"
	"time"
)

// Next returns the account that a Put of draft at the time now leaves behind, and whether Put creates it: old is what
// is stored now, or nil. Equal content is no change, so that old and its Revision stay.
func Next(old *Account, id ID, draft Draft, now time.Time) (acc Account, created bool) {
	now = microseconds(now)
	draft.Labels = cloned(draft.Labels)
	acc = Account{ID: id, Draft: draft, Version: 1, CreatedAt: now, UpdatedAt: now}
	switch {
	case old == nil:
		return acc, true
	case old.Draft.Equal(draft):
		return *old, false
	}
	acc.CreatedAt = old.CreatedAt
	return after(*old, acc), false
}

// NextImported returns the account that an Import of in at the time now leaves behind, and whether it differs from old,
// the stored account or nil. Equal content changes nothing. A new account keeps the version and times of in; zero ones
// become 1 and now, and a zero CreatedAt becomes UpdatedAt if that is earlier. An account that replaces other content
// keeps CreatedAt of old, gets a version above that of old, up to MaxVersion, and is not updated before it.
func NextImported(old *Account, in Account, now time.Time) (acc Account, changed bool) {
	if old != nil && old.Draft.Equal(in.Draft) {
		return *old, false
	}
	acc = in
	acc.Labels = cloned(in.Labels)
	acc.Version = max(in.Version, 1)
	acc.CreatedAt, acc.UpdatedAt = microseconds(in.CreatedAt), microseconds(in.UpdatedAt)
	if in.UpdatedAt.IsZero() {
		acc.UpdatedAt = microseconds(now)
	}
	if in.CreatedAt.IsZero() {
		acc.CreatedAt = microseconds(now)
		if acc.UpdatedAt.Before(now) { // an export has no created_at of an account that replaced a damaged one
			acc.CreatedAt = acc.UpdatedAt
		}
	}
	if old != nil {
		acc.CreatedAt = old.CreatedAt
		acc = after(*old, acc)
	}
	acc.UpdatedAt = later(acc.UpdatedAt, acc.CreatedAt)
	return acc, true
}

// after returns acc with a version above that of old and not updated before old, even if the clock was set back. At
// MaxVersion the version stays and the time advances instead, so that no Revision occurs twice before the year 10000,
// which no time reaches.
func after(old, acc Account) Account {
	acc.Version = max(acc.Version, min(old.Version, MaxVersion-1)+1)
	least := old.UpdatedAt
	if next := least.Add(time.Microsecond); old.Version >= MaxVersion && validTime(next) {
		least = next
	}
	acc.UpdatedAt = later(acc.UpdatedAt, least)
	return acc
}

// microseconds returns t as every store can keep it: UTC in whole microseconds.
func microseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// cloned returns a copy of its own, nil for none.
func cloned(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	return maps.Clone(labels)
}

// Stored is an account that a store has. With a Damage only its id is known.
type Stored struct {
	Account
	Damage error
}

// InOrder returns what a GetMany has found of ids: in their order, each once. It changes found.
func InOrder(ids []ID, found map[ID]Stored) Found {
	all := Found{Accounts: make([]Account, 0, len(found))}
	for _, id := range ids {
		switch acc, is := found[id]; {
		case !is:
		case acc.Damage != nil:
			all.Damaged = append(all.Damaged, id)
		default:
			all.Accounts = append(all.Accounts, acc.Account)
		}
		delete(found, id)
	}
	return all
}

// Match reports whether acc passes the filters of q. It ignores After and Limit.
func (q Query) Match(acc Account) bool {
	label, labelled := acc.Labels[q.LabelKey]
	return (q.Name == "" || acc.Name == q.Name) &&
		(q.Email == "" || acc.Email == q.Email) &&
		(q.LabelKey == "" || labelled && label == q.LabelValue) &&
		strings.HasPrefix(acc.Name, q.NamePrefix) &&
		(q.UpdatedSince.IsZero() || !acc.UpdatedAt.IsZero() && !acc.UpdatedAt.Before(q.UpdatedSince))
}

// Validate returns nil or *Invalid, whose Field is a filter in words of the API. It
// allows what accounts from before narrower limits have.
func (q Query) Validate() error {
	switch {
	case q.Limit < 1:
		return &Invalid{"limit", "must be at least 1"}
	case q.LabelKey != "" && !validLabelKey(q.LabelKey):
		return &Invalid{"label", "is KEY=VALUE, and its key " + labelKeyRule}
	}
	return cmp.Or(validText("name", q.Name, 0, MaxNameLength), validText("name_prefix", q.NamePrefix, 0, MaxNameLength),
		validText("email", q.Email, 0, MaxEmailLength), validText("label", q.LabelValue, 0, MaxLabelLength))
}
