package boltstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id store.ID) (store.Account, error) {
	acc, err := view(ctx, s, func(tx *bbolt.Tx) (store.Account, error) {
		v := tx.Bucket(accountBucket).Get([]byte(id))
		if v == nil {
			return store.Account{}, store.ErrNotFound
		}
		return decode([]byte(id), v) // inside the transaction: v dies with it
	})
	if err != nil {
		return store.Account{}, fmt.Errorf("bolt get: %w", err)
	}
	return acc, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, after store.ID, limit int) ([]store.Account, error) {
	page, err := view(ctx, s, func(tx *bbolt.Tx) ([]store.Account, error) {
		var page []store.Account
		c := tx.Bucket(accountBucket).Cursor()
		k, v := c.Seek([]byte(after))
		if k != nil && string(k) == string(after) {
			k, v = c.Next()
		}
		for ; k != nil && len(page) < limit; k, v = c.Next() {
			acc, err := decode(k, v)
			if err != nil {
				return nil, err
			}
			page = append(page, acc)
		}
		return page, nil
	})
	if err != nil {
		return nil, fmt.Errorf("bolt list: %w", err)
	}
	return page, nil
}

// view calls f with a read transaction, on a goroutine of its own: the caller
// gets an answer when ctx ends, whatever the disk does.
func view[T any](ctx context.Context, s *Store, f func(*bbolt.Tx) (T, error)) (T, error) {
	var none T
	if err := s.usable(); err != nil {
		return none, err
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case s.readers <- struct{}{}:
	case <-s.stuck:
		return none, s.usable()
	case <-ctx.Done():
		return none, fmt.Errorf("%d reads are under way: %w", maxReaders, ctx.Err())
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-s.readers }()
		var r result
		r.err = guard(func() (err error) {
			r.value, err = read(s.db, f)
			return err
		})
		var broken *fault
		if errors.As(r.err, &broken) {
			s.latch(r.err)
			r.err = fmt.Errorf("%w: %w", store.ErrUnavailable, r.err)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-s.stuck:
		return none, s.usable()
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// read is bbolt's View without its clean-up after a panic, which waits for
// locks that a panic may have left held; the store is latched then.
func read[T any](db *bbolt.DB, f func(*bbolt.Tx) (T, error)) (T, error) {
	tx, err := db.Begin(false)
	if err != nil {
		var none T
		return none, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	v, err := f(tx)
	return v, errors.Join(err, tx.Rollback())
}
