package pgstore

import (
	"context"
	"iter"

	"accountservice/internal/store"
)

// seedPiece is how many accounts Seed puts in one transaction.
const seedPiece = 5000

const (
	inUseSQL = `UPDATE service_state SET seeding_done = true
WHERE id = 1 AND seeded = 0 AND NOT seeding_done AND EXISTS (SELECT 1 FROM accounts)`
	seedStateSQL = `SELECT seeded, seeding_done FROM service_state WHERE id = 1`
	seededSQL    = `UPDATE service_state SET seeded = $1, seeding_done = $2
WHERE id = 1 AND seeded = $3 AND NOT seeding_done`
)

// Seed implements store.Store. Calls of several processes at once share the work.
func (s *Store) Seed(ctx context.Context, seeds iter.Seq[store.Account]) (put int, err error) {
	defer store.Wrap("postgres seed", &err)
	next, stop := iter.Pull(seeds)
	defer stop()
	taken := 0
	for {
		begin, done, err := s.seedState(ctx)
		if err != nil || done {
			return put, err
		}
		for ; taken < begin; taken++ { // another process put these
			next()
		}
		piece, err := s.nextPiece(next)
		if err != nil {
			return put, err
		}
		taken += len(piece)
		lost, err := s.seedPiece(ctx, piece, begin, len(piece) < seedPiece)
		if err != nil {
			return put, err
		}
		if !lost {
			put += len(piece)
		}
	}
}

// seedState returns how many accounts are seeded, and whether no more will be: the store has others of its own.
func (s *Store) seedState(ctx context.Context) (seeded int, done bool, err error) {
	err = s.attempt(ctx, true, s.writes, func(ctx context.Context, c conn) error {
		if _, err := c.exec(ctx, inUseSQL); err != nil {
			return readFailure(err)
		}
		return readFailure(c.QueryRow(ctx, seedStateSQL, c.mode).Scan(&seeded, &done))
	})
	return seeded, done, err
}

// nextPiece returns the next seeds as accounts, fewer than seedPiece only when they end.
func (s *Store) nextPiece(next func() (store.Account, bool)) (piece []store.Account, err error) {
	for len(piece) < seedPiece {
		seed, more := next()
		if !more {
			return piece, nil
		}
		if _, err = store.ParseID(string(seed.ID)); err == nil {
			err = seed.Draft.Validate()
		}
		if err != nil {
			return nil, err
		}
		acc, _ := store.Next(nil, seed.ID, seed.Draft, s.now())
		piece = append(piece, acc)
	}
	return piece, nil
}

// seedPiece puts a piece, before which begin accounts are seeded. lost means that another process has put it.
func (s *Store) seedPiece(ctx context.Context, piece []store.Account, begin int, last bool) (lost bool, err error) {
	var rows batch
	for _, acc := range piece {
		rows.add(acc, "")
	}
	err = s.attempt(ctx, false, s.writes, func(ctx context.Context, c conn) error {
		return inTransaction(ctx, c, func(tx conn) error {
			changed, err := tx.exec(ctx, seededSQL, begin+len(piece), last, begin)
			if lost = err == nil && changed == 0; err == nil && !lost && len(piece) > 0 {
				_, err = tx.exec(ctx, insertAllSQL, rows.arguments()...)
			}
			return readFailure(err)
		})
	})
	return lost, err
}
