package boltstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Import implements store.Store.
func (s *Store) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	in, err := importable(accounts)
	if err != nil {
		return store.Imported{}, fmt.Errorf("bolt import: %w", err)
	}
	ids := make([]store.ID, len(in))
	for i, acc := range in {
		ids[i] = acc.ID
	}
	var done store.Imported
	err = s.update(ctx, touchAll(ids), func(tx *bbolt.Tx) (err error) {
		done, err = s.putAll(tx.Bucket(boltfile.AccountBucket), in)
		return err
	}, ids...)
	if err != nil {
		return store.Imported{}, fmt.Errorf("bolt import: %w", err)
	}
	return done, nil
}

// importable returns the accounts in order of their keys, in which they are put ten times faster, or *Invalid.
func importable(accounts []store.Account) ([]store.Account, error) {
	if len(accounts) > store.MaxMany {
		return nil, &store.Invalid{Field: "accounts", Reason: fmt.Sprintf("must be at most %d", store.MaxMany)}
	}
	for i, acc := range accounts {
		if err := acc.Validate(); err != nil {
			return nil, fmt.Errorf("account %d of %d: %w", i+1, len(accounts), err)
		}
	}
	sorted := slices.Clone(accounts)
	for i := range sorted { // the caller may be gone, and change what it gave, before this is done
		sorted[i].Labels = maps.Clone(sorted[i].Labels)
	}
	slices.SortFunc(sorted, func(a, b store.Account) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].ID == sorted[i-1].ID {
			return nil, &store.Invalid{Field: "id", Reason: "must be of one account alone"}
		}
	}
	return sorted, nil
}

// putAll makes all records before it puts the first: an error changes nothing.
func (s *Store) putAll(b *bbolt.Bucket, in []store.Account) (done store.Imported, err error) {
	now := s.now()
	records := make([][]byte, len(in)) // nil is left alone
	for i, acc := range in {
		old, err := stored(b, acc.ID)
		if err != nil {
			return done, err
		}
		next, changed := store.NextImported(old, acc, now)
		switch {
		case !changed:
			done.Unchanged++
			continue
		case old == nil:
			done.Created++
		default:
			done.Replaced++
		}
		if records[i], err = boltfile.EncodeAccount(next); err != nil {
			return done, err
		}
	}
	if done.Created+done.Replaced == 0 {
		return done, errUnchanged
	}
	for i, record := range records {
		if record != nil {
			if err := b.Put([]byte(in[i].ID), record); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}
