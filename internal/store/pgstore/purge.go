package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"accountservice/internal/store"
)

// Old records are removed in small pieces, about once a minute.
const (
	purgeEvery = time.Minute
	purgePiece = 500

	purgeSQL = `DELETE FROM idempotency WHERE key IN
  (SELECT key FROM idempotency WHERE written_at <= $1 ORDER BY written_at LIMIT $2)`
)

// purgeUntil removes old records until ctx ends.
func (s *Store) purgeUntil(ctx context.Context) {
	for {
		select {
		case <-time.After(purgeEvery/2 + rand.N(purgeEvery)): // replicas share the work
		case <-ctx.Done():
			return
		}
		if err := s.purge(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) { // Check says so
			s.log.Warn("old idempotency keys were not removed", "err", err)
		}
	}
}

func (s *Store) purge(ctx context.Context) error {
	for {
		var removed int64
		err := s.tryOnce(ctx, s.writes, func(ctx context.Context, c conn) (err error) {
			removed, err = c.exec(ctx, purgeSQL, s.now().Add(-store.IdempotencyRetention), purgePiece)
			return err
		})
		if err != nil || removed < purgePiece {
			return err
		}
	}
}
