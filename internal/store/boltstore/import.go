package boltstore

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Import implements store.Store.
func (s *Store) Import(ctx context.Context, accounts []store.Account) (_ store.Imported, err error) {
	defer store.Wrap("bolt import", &err)
	return s.putPiece(ctx, accounts, nil)
}

// putPiece puts accounts in one transaction, for a seeding those alone that are missing. seeding, if not nil, notes in
// that transaction how far it is.
func (s *Store) putPiece(ctx context.Context, accounts []store.Account, seeding func(*bbolt.Tx) error) (
	store.Imported, error) {
	in, err := store.Importable(accounts) // in the order of keys, in which they are put ten times faster
	if err != nil {
		return store.Imported{}, err
	}
	ids := make([]store.ID, len(in))
	for i, acc := range in {
		ids[i] = acc.ID
	}
	ids = slices.Compact(ids)
	var done store.Imported
	err = s.update(ctx, len(ids), touchAll(ids), func(tx *bbolt.Tx) (err error) {
		done, err = s.putAll(tx.Bucket(boltfile.AccountBucket), in, seeding == nil)
		if seeding != nil && (err == nil || errors.Is(err, errUnchanged)) {
			err = seeding(tx)
		}
		return err
	})
	if err != nil {
		return store.Imported{}, err // apply may still be at work
	}
	return done, nil
}

// putAll makes all records before it puts the first: an error changes nothing.
func (s *Store) putAll(b *bbolt.Bucket, in []store.Account, replace bool) (done store.Imported, err error) {
	changes, done := store.ImportChanges(in, s.now(), func(id store.ID) (*store.Account, bool) {
		old, damage := stored(b, id)
		if damage != nil {
			return nil, true
		}
		return old, false
	})
	if done.Created+done.Replaced == 0 {
		return done, errUnchanged
	}
	changes = slices.DeleteFunc(changes, func(c store.ImportChange) bool { return !c.Changed || c.Replaces && !replace })
	records := make([][]byte, len(changes))
	for i, c := range changes {
		if records[i], err = boltfile.EncodeAccount(c.Account); err != nil {
			return done, err
		}
	}
	for i, c := range changes {
		if err := b.Put([]byte(c.ID), records[i]); err != nil {
			return done, err
		}
	}
	return done, nil
}
