package pgstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// For the tests of behaviour, which are in package pgstore_test.

const PurgePiece = purgePiece

var SchemaVersion = schemaVersion

var PauseForTest = pause

func (s *Store) PoolForTest() *pgxpool.Pool { return s.pool }

// AnsweredForTest notes an answer of the server.
func (s *Store) AnsweredForTest() { s.noteAnswered() }

// PurgeForTest removes old keys, as the store does once in a while.
func (s *Store) PurgeForTest(ctx context.Context) error { return s.purge(ctx) }

// LimitsForTest sets what an open store was told by its Options.
func (s *Store) LimitsForTest(requireSync bool, acquire time.Duration) {
	s.requireSync, s.acquireTimeout = requireSync, acquire
}

// PooledForTest reports whether the store takes a connection for one of a pooler.
func PooledForTest(c *pgxpool.Conn) bool { return c.Conn().PgConn().CustomData()[pooledKey] != nil }

// MigrateToForTest makes the schema of an earlier version.
func MigrateToForTest(ctx context.Context, at Server, version int64) error {
	return withProvider(ctx, at, slog.New(slog.DiscardHandler), func(p *goose.Provider) error {
		_, err := p.UpTo(ctx, version)
		return err
	})
}
