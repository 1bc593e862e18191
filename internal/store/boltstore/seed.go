package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Seed implements store.Store.
func (s *Store) Seed(ctx context.Context, seeds iter.Seq[store.Seeding]) (n int, err error) {
	done, err := s.seedPiece(ctx, 0, nil, false)
	before := done
	var piece []store.Seeding
	skip := done
	for seed := range seeds {
		if err != nil || done < 0 {
			break
		}
		if skip > 0 {
			skip--
			continue
		}
		if _, err = store.ParseID(string(seed.ID)); err == nil {
			err = seed.Draft.Validate()
		}
		if piece = append(piece, seed); err == nil && len(piece) == s.piece {
			done, err = s.seedPiece(ctx, done, piece, false)
			piece = piece[:0]
		}
	}
	if err == nil && done >= 0 {
		done, err = s.seedPiece(ctx, done, piece, true)
	}
	if err != nil {
		return 0, fmt.Errorf("bolt seed: %w", err)
	}
	return max(done-max(before, 0), 0), nil
}

// seedPiece puts the next accounts after the first so many, and notes how many that makes, for a call that goes on
// after a kill. With the last ones the seeding is over. It returns how many are put, or -1 if nothing is to be put: the
// store is seeded, or has accounts of its own.
func (s *Store) seedPiece(ctx context.Context, done int, piece []store.Seeding, last bool) (int, error) {
	// in key order a large seeding is ten times faster
	slices.SortFunc(piece, func(a, b store.Seeding) int { return cmp.Compare(a.ID, b.ID) })
	ids := make([]store.ID, len(piece))
	for i, seed := range piece {
		ids[i] = seed.ID
	}
	var now int
	err := s.update(ctx, len(ids), touchAll(ids), func(tx *bbolt.Tx) (err error) {
		own, accounts := tx.Bucket(boltfile.MetaBucket), tx.Bucket(boltfile.AccountBucket)
		if now, err = seedState(own, accounts); err != nil {
			return err
		}
		switch {
		case now < 0 && own.Get(boltfile.SeededKey) == nil:
			return putOwn(tx, boltfile.SeededKey, "0")
		case now < 0 || len(piece) == 0 && !last:
			return errUnchanged
		case now != done:
			return errors.New("another call seeds the same store")
		}
		for _, seed := range piece {
			acc, _ := store.Next(nil, seed.ID, seed.Draft, s.now())
			if err := putAccount(accounts, acc); err != nil {
				return err
			}
		}
		if now += len(piece); !last {
			return putOwn(tx, boltfile.SeedingKey, strconv.Itoa(now))
		}
		return errors.Join(own.Delete(boltfile.SeedingKey), putOwn(tx, boltfile.SeededKey, strconv.Itoa(now)))
	})
	if err != nil {
		return 0, err // apply may still be at work
	}
	return now, nil
}

// seedState returns how many accounts an unfinished seeding put, or -1 if none is to be begun or finished.
func seedState(own, accounts *bbolt.Bucket) (int, error) {
	if own.Get(boltfile.SeededKey) != nil {
		return -1, nil
	}
	if record := own.Get(boltfile.SeedingKey); record != nil {
		content, err := ownRecord(boltfile.SeedingKey, record)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(content))
	}
	if k, _ := accounts.Cursor().First(); k != nil {
		return -1, nil
	}
	return 0, nil
}

func putAccount(b *bbolt.Bucket, acc store.Account) error {
	record, err := boltfile.EncodeAccount(acc)
	if err != nil {
		return err
	}
	return b.Put([]byte(acc.ID), record)
}
