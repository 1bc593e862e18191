package boltstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Put implements store.Store.
func (s *Store) Put(
	ctx context.Context, id store.ID, draft store.Draft, pre store.Preconditions,
) (_ store.Written, err error) {
	defer store.Wrap("bolt put", &err)
	draft.Labels = maps.Clone(draft.Labels) // the caller may be gone, and change what it gave, before this is done
	return s.put(ctx, &putting{id: id, pre: pre, now: s.now, allow: store.Preconditions.AllowPut,
		next: func(old *store.Account) (store.Draft, error) { return store.Replaced(old, draft) }})
}

// Update implements store.Store.
func (s *Store) Update(
	ctx context.Context, id store.ID, pre store.Preconditions, change func(store.Account) (store.Draft, error),
) (_ store.Written, err error) {
	defer store.Wrap("bolt update", &err)
	next := func(old *store.Account) (store.Draft, error) { return store.Changed(old, change) }
	return s.put(ctx, &putting{id: id, pre: pre, now: s.now, allow: store.Preconditions.AllowUpdate, next: next})
}

// putting is one Put or Update on its way.
type putting struct {
	id      store.ID
	pre     store.Preconditions
	now     func() time.Time
	allow   func(pre store.Preconditions, old *store.Account, damage error) error
	next    func(old *store.Account) (store.Draft, error) // the content that is to be
	written store.Written
}

func (s *Store) put(ctx context.Context, p *putting) (store.Written, error) {
	if err := p.pre.Validate(p.id); err != nil {
		return store.Written{}, err
	}
	p.pre.Revisions = slices.Clone(p.pre.Revisions) // as the labels
	if err := s.update(ctx, 1, p.touch, p.apply); err != nil {
		return store.Written{}, err
	}
	return p.written, nil
}

func (p *putting) touch(snap boltfile.Snapshot) error {
	err := inAccounts(func(t boltfile.Tree) error { _, err := t.Get([]byte(p.id)); return err })(snap)
	if p.pre.Idempotency != nil {
		err = errors.Join(err, touchAnswers(snap, boltfile.AnswerKey(p.pre.Idempotency.Key), p.now()))
	}
	return err
}

func (p *putting) apply(tx *bbolt.Tx) error {
	now := p.now()
	accounts := tx.Bucket(boltfile.AccountBucket)
	old, damage := stored(accounts, p.id)
	var was *store.IdempotencyRecord
	var err error
	if p.pre.Idempotency != nil {
		if was, err = remembered(tx, p.pre.Idempotency.Key); err != nil {
			return err
		}
	}
	replay, err := p.pre.Decide(p.allow, old, damage, was, now)
	if err != nil {
		return err
	}
	if replay != nil {
		p.written = store.Written{Replay: replay}
		return errUnchanged
	}
	draft, err := p.next(old)
	if err != nil {
		return err
	}
	acc, created := store.Next(old, p.id, draft, now)
	p.written = store.Written{Account: acc, Created: created}
	record, err := boltfile.EncodeAccount(acc)
	if err != nil {
		return err
	}
	if p.pre.Idempotency != nil {
		if err := remember(tx, p.pre.Idempotency, p.written, was, now); err != nil {
			return err
		}
	}
	return accounts.Put([]byte(p.id), record)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id store.ID, pre store.Preconditions) (err error) {
	defer store.Wrap("bolt delete", &err)
	touch := inAccounts(func(t boltfile.Tree) error { return t.Around([]byte(id)) })
	return s.update(ctx, 1, touch, func(tx *bbolt.Tx) error {
		accounts := tx.Bucket(boltfile.AccountBucket)
		if err := pre.AllowDelete(stored(accounts, id)); err != nil {
			return err
		}
		return accounts.Delete([]byte(id))
	})
}

// stored returns the account with this id, or nil. Its error is ErrDamaged, and then the account has its id alone.
func stored(accounts *bbolt.Bucket, id store.ID) (*store.Account, error) {
	record := accounts.Get([]byte(id))
	if record == nil {
		return nil, nil
	}
	acc, err := decode([]byte(id), record)
	return &acc, err
}
