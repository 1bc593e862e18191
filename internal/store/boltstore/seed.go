package boltstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Seed implements store.Store.
func (s *Store) Seed(ctx context.Context, accounts iter.Seq[store.Account]) (n int, err error) {
	wanted, err := s.beginSeeding(ctx)
	if err == nil && wanted {
		n, err = s.importAll(ctx, accounts)
	}
	if err == nil && wanted {
		err = s.update(ctx, 0, nil, func(tx *bbolt.Tx) error {
			done := tx.Bucket(boltfile.MetaBucket).Delete(boltfile.SeedingKey)
			return errors.Join(done, putOwn(tx, boltfile.SeededKey, strconv.Itoa(n)))
		})
	}
	if err != nil {
		return 0, fmt.Errorf("bolt seed: %w", err)
	}
	return n, nil
}

// beginSeeding notes that a seeding has begun, for a call that goes on after a kill. It returns false if nothing is to be
// put: the store is seeded, or has accounts of its own.
func (s *Store) beginSeeding(ctx context.Context) (bool, error) {
	var wanted bool
	err := s.update(ctx, 0, firstLeaf, func(tx *bbolt.Tx) error {
		own := tx.Bucket(boltfile.MetaBucket)
		seeded, begun := own.Get(boltfile.SeededKey) != nil, own.Get(boltfile.SeedingKey) != nil
		first, _ := tx.Bucket(boltfile.AccountBucket).Cursor().First()
		wanted = !seeded && (begun || first == nil)
		switch {
		case seeded || begun:
			return errUnchanged
		case !wanted:
			return putOwn(tx, boltfile.SeededKey, "0")
		}
		return putOwn(tx, boltfile.SeedingKey, "0")
	})
	if err != nil {
		return false, err // apply may still be at work
	}
	return wanted, nil
}

// importAll imports the accounts in pieces, and returns how many it created: those of a seeding that was killed are
// there.
func (s *Store) importAll(ctx context.Context, accounts iter.Seq[store.Account]) (n int, err error) {
	var piece []store.Account
	put := func() error {
		done, err := s.Import(ctx, piece)
		n, piece = n+done.Created, piece[:0]
		return err
	}
	for acc := range accounts {
		if piece = append(piece, acc); len(piece) == store.MaxMany {
			if err := put(); err != nil {
				return n, err
			}
		}
	}
	return n, put()
}
