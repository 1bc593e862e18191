package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"accountservice/internal/warning"
)

// busyFor is how long all connections may be in use without an answer of the server, before the check fails.
const busyFor = 2 * time.Second

// Check asks the server, on a connection of the pool, whether it takes writes of this version's schema, and with
// RequireSync whether they wait for a standby. It changes nothing. Its errors hold no secret.
func (s *Store) Check(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.noConnection(ctx, err)
	}
	defer c.Release()
	f, err := ask(ctx, c.Conn().PgConn(), s.statementTimeout)
	if err != nil {
		s.pool.Reset()
		return errors.New(words(errors.Join(err, ctx.Err())))
	}
	s.noteAnswered()
	if err := s.refuse(f); err != nil {
		s.pool.Reset()
		return err
	}
	if n := cap(s.writes.taken); int(s.writes.left.Load()) == n {
		return warning.Errorf("no write can begin: all %d connections for writes wait for the answer to a commit, perhaps "+
			"for a standby; reads go on", n)
	}
	if f.schema > schemaVersion {
		return warning.Errorf("the database has schema %d, and this version is for %d: it works", f.schema, schemaVersion)
	}
	return nil
}

// noConnection says why the pool gave no connection. If clients use all that the pool or the server grants and the server
// answers on them, that is only a warning, also if a standby among its hosts refuses.
func (s *Store) noConnection(ctx context.Context, err error) error {
	stat := s.pool.Stat()
	used, why := stat.AcquiredConns()+stat.IdleConns(), words(err) // idle ones were in use
	full := used == stat.MaxConns()
	if ctx.Err() != nil {
		why = "the server does not answer in time: no new connection within the check's timeout"
	}
	refused := refusalIn(err) != nil
	busy := hasCode(err, tooManyConnections, "08P01") || errors.Is(err, context.DeadlineExceeded) // and another host refuses
	switch silent := s.silent(); {
	case used == 0 || !full && (refused && !busy || !comesBack(err)):
		return errors.New(why)
	case silent > busyFor:
		return fmt.Errorf("all %d connections are in use, and the server has not answered on one for %s", used,
			silent.Round(time.Second))
	case full:
		return warning.Errorf("all %d connections are in use by clients, and the server answers on them: "+
			"store.postgres.max_conns grants more", used)
	case refused:
		why = "the primary is too busy, and of another host: " + why
	}
	return warning.Errorf("all %d connections are in use by clients, and the server answers on them, but gives no new one: %s",
		used, why)
}

// CheckSpace fails after a write for which the server had no room on its disk or no transaction id, until one succeeds.
func (s *Store) CheckSpace(context.Context) error {
	if full := s.full.Load(); full != nil {
		return fmt.Errorf("%s: the write of %s was refused; reads go on", full.why, full.at.UTC().Format(time.RFC3339))
	}
	return nil
}

// fullness is why the server had no room for a write, and when.
type fullness struct {
	why string
	at  time.Time
}
