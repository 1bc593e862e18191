package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, id store.ID, draft store.Draft, terms store.Terms) (store.Written, error) {
	// the caller may be gone, and change what it gave, before this is done
	draft.Labels, terms.Revisions = maps.Clone(draft.Labels), slices.Clone(terms.Revisions)
	put := putting{id: id, draft: draft, terms: terms, now: s.now}
	err := put.validate()
	if err == nil {
		err = s.update(ctx, put.touch, put.apply)
	}
	if err != nil {
		return store.Written{}, fmt.Errorf("bolt put: %w", err)
	}
	return put.written, nil
}

// putting is one Put on its way.
type putting struct {
	id      store.ID
	draft   store.Draft
	terms   store.Terms
	now     func() time.Time
	written store.Written
}

func (p *putting) validate() error {
	if p.terms.Once != nil && p.terms.Once.Key == "" {
		return &store.Invalid{Field: "key", Reason: "must not be empty"}
	}
	if _, err := store.ParseID(string(p.id)); err != nil {
		return err
	}
	return p.draft.Validate()
}

func (p *putting) touch(snap snapshot) error {
	err := touchAccount(p.id)(snap)
	if p.terms.Once != nil {
		err = errors.Join(err, touchAnswers(snap, p.terms.Once.Key, p.now()))
	}
	return err
}

func (p *putting) apply(tx *bbolt.Tx) error {
	now := p.now()
	accounts := tx.Bucket(accountBucket)
	old, err := stored(accounts, p.id)
	if err != nil {
		return err
	}
	var was *store.Remembered
	if p.terms.Once != nil {
		if was, err = remembered(tx, p.terms.Once.Key); err != nil {
			return err
		}
	}
	replay, err := p.terms.Decide(old, was, now)
	if err != nil {
		return err
	}
	if replay != nil {
		p.written = store.Written{Replay: replay}
		return errUnchanged
	}
	acc, created := store.Next(old, p.id, p.draft, now)
	p.written = store.Written{Account: acc, Created: created}
	record, err := encode(acc)
	if err != nil {
		return err
	}
	if p.terms.Once != nil {
		if err := remember(tx, p.terms.Once, p.written, was, now); err != nil {
			return err
		}
	}
	return accounts.Put([]byte(p.id), record)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id store.ID, terms store.Terms) error {
	err := s.update(ctx, touchAround(id), func(tx *bbolt.Tx) error {
		accounts := tx.Bucket(accountBucket)
		var old *store.Account
		if terms.Revisions != nil {
			var err error
			if old, err = stored(accounts, id); err != nil {
				return err
			}
		} else if accounts.Get([]byte(id)) != nil {
			old = &store.Account{} // not decoded: a damaged one can be removed
		}
		if err := terms.Allow(old); err != nil {
			return err
		}
		if old == nil {
			return store.ErrNotFound
		}
		return accounts.Delete([]byte(id))
	})
	if err != nil {
		return fmt.Errorf("bolt delete: %w", err)
	}
	return nil
}

// stored returns the account with this id, or nil.
func stored(accounts *bbolt.Bucket, id store.ID) (*store.Account, error) {
	record := accounts.Get([]byte(id))
	if record == nil {
		return nil, nil
	}
	acc, err := decode([]byte(id), record)
	return &acc, err
}

// touchAround is the touch of a removal.
func touchAround(id store.ID) func(snapshot) error {
	return func(snap snapshot) error {
		accounts, err := snap.bucket(accountBucket)
		if err == nil {
			err = accounts.around([]byte(id))
		}
		return err
	}
}

// touchAccount is the touch of a change of one account.
func touchAccount(id store.ID) func(snapshot) error {
	return func(snap snapshot) error {
		accounts, err := snap.bucket(accountBucket)
		if err == nil {
			_, err = accounts.get([]byte(id))
		}
		return err
	}
}
