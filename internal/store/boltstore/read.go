package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/transfer"
)

// pageBuffers are those of reads under way.
var pageBuffers = sync.Pool{New: func() any { return new(boltfile.Buffers) }}

// Peek implements store.Store. It answers from memory or from the page cache, and touches neither the map nor a lock
// that a disk can hold up. What it is not sure of it leaves to Get, which finds out why.
func (s *Store) Peek(id store.ID) (*store.Encoded, bool) {
	if s.usable() != nil {
		return nil, false
	}
	seen := s.h.seen.Load()
	if seen == nil {
		return nil, false
	}
	r := seen.recently()
	if acc, known := r.get(id); known {
		return acc, s.h.whole(seen)
	}
	accounts, err := s.h.tree(seen, r, s.h.memo)
	if err != nil {
		return nil, false
	}
	acc, err := s.read(accounts, id)
	if err != nil || !s.h.whole(seen) {
		return nil, false
	}
	r.add(acc)
	return acc, true
}

func (s *Store) read(accounts boltfile.Tree, id store.ID) (*store.Encoded, error) {
	buffers := pageBuffers.Get().(*boltfile.Buffers)
	buffers.Reset()
	defer pageBuffers.Put(buffers)
	record, err := accounts.With(buffers).Get([]byte(id))
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, store.ErrNotFound
	}
	acc, err := decode([]byte(id), record)
	if err != nil {
		return nil, err
	}
	return transfer.EncodeAnswer(acc)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id store.ID) (_ store.Account, err error) {
	defer store.Wrap("bolt get", &err)
	if err := ctx.Err(); err != nil {
		return store.Account{}, err
	}
	found, known := s.Peek(id)
	if !known {
		found, err = view(ctx, s, func(accounts boltfile.Tree) (*store.Encoded, error) {
			acc, err := s.read(accounts, id)
			if err == nil {
				s.h.keep(acc, accounts.TxID())
			}
			return acc, err
		})
		if err != nil {
			return store.Account{}, err
		}
	}
	acc := found.Account
	acc.Labels = maps.Clone(acc.Labels)
	return acc, nil
}

// view calls f with the accounts that a read transaction sees, on a goroutine of its own: the caller gets an answer
// when ctx ends, whatever the disk does. An error of f that is not for the caller is ErrUnavailable.
func view[T any](ctx context.Context, s *Store, f func(boltfile.Tree) (T, error)) (T, error) {
	var none T
	if err := cmp.Or(s.usable(), ctx.Err()); err != nil {
		return none, err
	}
	select {
	case s.readers <- struct{}{}:
	case <-s.latch.stuck:
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
		var v T
		file := sharedFile{s.h.file, s.reads, ctx}
		err := s.h.read(file, func(tx *bbolt.Tx) error {
			accounts, err := s.h.snapshot(tx, file).Bucket(boltfile.AccountBucket)
			if err == nil {
				v, err = f(accounts)
			}
			return err
		})
		if isFault(err) {
			s.latch.set(err)
		}
		if err != nil && !forCaller(err) {
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-s.latch.stuck:
		return none, s.usable()
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// forCaller reports whether err says something of the accounts, and not of the store.
func forCaller(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrTooMuch) || errors.Is(err, store.ErrDamaged)
}

// decode returns the account that key and record hold. Its error is ErrDamaged, and then the account has its id alone.
func decode(key, record []byte) (store.Account, error) {
	acc, err := boltfile.DecodeAccount(key, record)
	if err != nil {
		err = fmt.Errorf("%w: %.80q: %w", store.ErrDamaged, key, err)
	}
	return acc, err
}
