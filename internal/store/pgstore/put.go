package pgstore

import (
	"context"

	"accountservice/internal/store"
)

const (
	deleteSQL        = `DELETE FROM accounts WHERE id = $1`
	deleteCurrentSQL = deleteSQL + ` AND revision = $2`
)

// Put implements store.Store.
func (s *Store) Put(
	ctx context.Context, id store.ID, draft store.Draft, pre store.Preconditions,
) (_ store.Written, err error) {
	defer store.Wrap("postgres put", &err)
	return s.put(ctx, &putting{id: id, pre: pre, allow: store.Preconditions.AllowPut, guess: pre.Absent,
		next: func(old *store.Account) (store.Draft, error) { return store.Replaced(old, draft) }})
}

// Update implements store.Store.
func (s *Store) Update(
	ctx context.Context, id store.ID, pre store.Preconditions, change func(store.Account) (store.Draft, error),
) (_ store.Written, err error) {
	defer store.Wrap("postgres update", &err)
	next := func(old *store.Account) (store.Draft, error) { return store.Changed(old, change) }
	return s.put(ctx, &putting{id: id, pre: pre, allow: store.Preconditions.AllowUpdate, next: next})
}

// putting is one Put or Update on its way.
type putting struct {
	id      store.ID
	pre     store.Preconditions
	allow   func(pre store.Preconditions, old *store.Account, damage error) error
	next    func(old *store.Account) (store.Draft, error) // the content that is to be
	guess   bool                                          // the next attempt reads nothing and takes both as new
	written store.Written
}

func (s *Store) put(ctx context.Context, p *putting) (store.Written, error) {
	if err := p.pre.Validate(p.id); err != nil {
		return store.Written{}, err
	}
	once := p.pre.Idempotency != nil
	err := s.attempt(ctx, once, s.writes, func(ctx context.Context, c conn) error { return s.putOnce(ctx, c, p) })
	if err != nil {
		return store.Written{}, err
	}
	s.full.Store(nil)
	return p.written, nil
}

// putOnce is one attempt. What it reads is compared again by the statement that writes.
func (s *Store) putOnce(ctx context.Context, c conn, p *putting) error {
	now := s.now()
	var old *stored
	var kept *store.IdempotencyRecord
	var err error
	guessed := p.guess
	p.guess = false
	if !guessed {
		if old, kept, err = p.read(ctx, c); err != nil {
			return err
		}
	}
	was, damage := old.account()
	replay, err := p.pre.Decide(p.allow, was, damage, kept, now)
	var draft store.Draft
	if err == nil && kept == nil {
		draft, err = p.next(was)
	}
	switch {
	case err != nil && guessed:
		return errLost // it may be wrong
	case err != nil:
		return err
	case replay != nil:
		p.written = store.Written{Replay: replay}
		return touchKey(ctx, c, p.pre.Idempotency, kept)
	case kept != nil:
		return forget(ctx, c, p.pre.Idempotency, kept)
	}
	acc, created := store.Next(was, p.id, draft, now)
	p.written = store.Written{Account: acc, Created: created}
	sql, args := insertSQL, arguments(acc)
	if old != nil {
		sql, args = updateSQL, append(args, old.revision)
	}
	if p.pre.Idempotency != nil {
		return remember(ctx, c, p.pre.Idempotency, p.written, now, sql, args)
	}
	return c.write(ctx, sql, args...)
}

// read returns the account and the record of the idempotency key; either may be nil.
func (p *putting) read(ctx context.Context, c conn) (*stored, *store.IdempotencyRecord, error) {
	if p.pre.Idempotency == nil {
		old, err := get(ctx, c, p.id)
		return old, nil, err
	}
	return getUnderKey(ctx, c, p.id, p.pre.Idempotency)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id store.ID, pre store.Preconditions) (err error) {
	defer store.Wrap("postgres delete", &err)
	return s.attempt(ctx, false, s.writes, func(ctx context.Context, c conn) error {
		if pre.Revisions == nil && !pre.Absent {
			err := c.write(ctx, deleteSQL, []byte(id))
			if err == errLost {
				err = store.ErrNotFound
			}
			return err
		}
		old, err := get(ctx, c, id)
		if err != nil {
			return err
		}
		if err := pre.AllowDelete(old.account()); err != nil {
			return err
		}
		return c.write(ctx, deleteCurrentSQL, []byte(id), old.revision)
	})
}
