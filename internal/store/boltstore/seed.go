package boltstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Seed implements store.Store.
func (s *Store) Seed(ctx context.Context, seeds []store.Seeding) (n int, err error) {
	seeds = slices.Clone(seeds)
	// in key order a large seeding is ten times faster
	slices.SortFunc(seeds, func(a, b store.Seeding) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, seed := range seeds {
		if _, err := store.ParseID(string(seed.ID)); err != nil {
			return 0, fmt.Errorf("bolt seed: %w", err)
		}
		if err := seed.Draft.Validate(); err != nil {
			return 0, fmt.Errorf("bolt seed: %w", err)
		}
	}
	var put int
	err = s.update(ctx, nil, func(tx *bbolt.Tx) error {
		put = 0
		meta, accounts := tx.Bucket(boltfile.MetaBucket), tx.Bucket(boltfile.AccountBucket)
		if meta.Get(boltfile.SeededKey) != nil {
			return errUnchanged
		}
		if k, _ := accounts.Cursor().First(); k == nil {
			now := s.now()
			for _, seed := range seeds {
				acc, _ := store.Next(nil, seed.ID, seed.Draft, now)
				if err := putAccount(accounts, acc); err != nil {
					return err
				}
			}
			put = len(seeds)
		}
		return meta.Put(boltfile.SeededKey, boltfile.Seal(boltfile.SeededKey, fmt.Append(nil, put)))
	})
	if err != nil {
		return 0, fmt.Errorf("bolt seed: %w", err)
	}
	return put, nil
}

func putAccount(b *bbolt.Bucket, acc store.Account) error {
	record, err := boltfile.EncodeAccount(acc)
	if err != nil {
		return err
	}
	return b.Put([]byte(acc.ID), record)
}
