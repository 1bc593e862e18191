package boltstore

import (
	"context"
	"errors"
	"iter"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Seed implements store.Store.
func (s *Store) Seed(ctx context.Context, accounts iter.Seq[store.Account]) (n int, err error) {
	defer store.Wrap("bolt seed", &err)
	wanted, err := s.wantsSeeds(ctx)
	var piece []store.Account
	for acc := range accounts {
		if err != nil || !wanted {
			break
		}
		if len(piece) == store.MaxMany {
			n, err = s.seedPiece(ctx, piece, n, false)
			piece = piece[:0]
		}
		piece = append(piece, acc)
	}
	if err == nil && wanted {
		n, err = s.seedPiece(ctx, piece, n, true)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// wantsSeeds returns false, and notes that, if nothing is to be put: the store is seeded, or has accounts of its own.
func (s *Store) wantsSeeds(ctx context.Context) (bool, error) {
	var wanted bool
	err := s.update(ctx, 0, firstLeaf, func(tx *bbolt.Tx) error {
		own := tx.Bucket(boltfile.MetaBucket)
		seeded, begun := own.Get(boltfile.SeededKey) != nil, own.Get(boltfile.SeedingKey) != nil
		first, _ := tx.Bucket(boltfile.AccountBucket).Cursor().First()
		if wanted = !seeded && (begun || first == nil); seeded || wanted {
			return errUnchanged
		}
		return putOwn(tx, boltfile.SeededKey, "0")
	})
	if err != nil {
		return false, err // apply may still be at work
	}
	return wanted, nil
}

// seedPiece puts those accounts that are missing, and adds how many these are to n. It notes in the same transaction that
// the seeding has begun, for a call that goes on after a kill, or that it has ended.
func (s *Store) seedPiece(ctx context.Context, piece []store.Account, n int, last bool) (int, error) {
	done, err := s.putPiece(ctx, piece, func(tx *bbolt.Tx) error {
		if !last {
			return putOwn(tx, boltfile.SeedingKey, "0")
		}
		return errors.Join(tx.Bucket(boltfile.MetaBucket).Delete(boltfile.SeedingKey), putOwn(tx, boltfile.SeededKey, "0"))
	})
	return n + done.Created, err
}
