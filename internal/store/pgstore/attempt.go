package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"accountservice/internal/store"
)

// grace is how much longer than statement_timeout an attempt may take: a commit that waits for a standby is not bounded
// by the server.
const grace = time.Second

// maxAttempts bounds the attempts after transient failures, and maxLost those that found a change of another, for a
// context without a deadline.
const (
	maxAttempts = 20
	maxLost     = 1000
)

// errNoRow: no other writer is so quick so often.
var errNoRow = fmt.Errorf("%w: %d attempts changed no row: does a trigger or a policy of the table forbid it?",
	store.ErrUnavailable, maxLost)

// attempt calls f with a connection until it succeeds or fails for good. f must do the whole operation, with its first
// read, because a server that took over may have an older state. After ErrOutcomeUnknown, f is called again only if
// repeatable, and the outcome is unknown then until an attempt succeeds or decides what was asked. An attempt takes a
// place of writes, which is nil for one that only reads.
func (s *Store) attempt(
	ctx context.Context, repeatable bool, writes *places, f func(context.Context, conn) error,
) error {
	for failures, lost, unknown := 0, 0, false; ; {
		err := s.tryOnce(ctx, writes, f)
		if errors.Is(err, errLost) {
			if lost++; lost < maxLost && ctx.Err() == nil {
				continue
			}
			err = cmp.Or(ctx.Err(), errNoRow)
		}
		again, is := errors.AsType[*transient](err)
		broken := is && again.broken || errors.Is(err, store.ErrOutcomeUnknown) // not by a server that is slow for one call
		if unknown && decidesNothing(err) {
			err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
		}
		unknown = errors.Is(err, store.ErrOutcomeUnknown)
		switch {
		case err == nil:
			return nil
		case !is && !(unknown && repeatable):
			return err
		}
		if ctx.Err() == nil && broken {
			s.pool.Reset()
		}
		if failures++; failures == maxAttempts || !pause(ctx, failures) {
			return ended(ctx, err)
		}
	}
}

// ended returns the error of an operation whose last attempt failed with err. If its time was up, that is why, and the
// store is not unavailable.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, store.ErrOutcomeUnknown) {
		return fmt.Errorf("%w: %v", ctx.Err(), err)
	}
	return err
}

// pause waits, longer after each failure, and reports whether ctx still allows an attempt.
func pause(ctx context.Context, failures int) bool {
	most := min(5*time.Millisecond<<min(failures, 6), 200*time.Millisecond)
	select {
	case <-time.After(most/2 + rand.N(most/2)):
	case <-ctx.Done():
	}
	return ctx.Err() == nil // select takes any that is ready
}

// tryOnce calls f with a connection, for at most statement_timeout and grace. The connection of a commit that has not
// ended by then is kept.
func (s *Store) tryOnce(ctx context.Context, writes *places, f func(context.Context, conn) error) error {
	if err := writes.take(ctx, s.acquireTimeout); err != nil {
		return err
	}
	pooled, err := s.acquire(ctx)
	if err != nil {
		writes.giveBack()
		return err
	}
	c := connOf(pooled.Conn())
	defer func() {
		end := func() { pooled.Release(); writes.giveBack() }
		if c.commit.abandoned {
			go s.await(c, end)
		} else {
			end()
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, s.statementTimeout+grace)
	defer cancel()
	err = f(bounded, c)
	s.noteAnswer(err)
	return err
}

// await waits for the answer to a commit that its caller has left, and calls end. It closes the connection when no server
// answers, when new connections lead to another one, and when the store is closed.
func (s *Store) await(c conn, end func()) {
	defer end()
	s.writes.left.Add(1)
	defer s.writes.left.Add(-1)
	for open := true; open; {
		select {
		case <-c.commit.answered:
			return
		case <-s.stopping:
			open = false
		case <-time.After(grace):
			open = s.silent() < s.statementTimeout && s.primary.Load() == addressOf(c.PgConn())
		}
	}
	c.PgConn().Conn().SetDeadline(time.Now())
	<-c.commit.answered
}

// acquire waits for a connection for at most acquireTimeout, also while no server can be reached.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	defer cancel()
	var last error
	for failures := 1; ; failures++ {
		c, err := s.pool.Acquire(bounded)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, puddle.ErrClosedPool):
			return nil, fmt.Errorf("%w: it is closed", store.ErrUnavailable)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case bounded.Err() == nil && comesBack(err):
			last = err
			if pause(bounded, failures) {
				continue
			}
		case bounded.Err() == nil:
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: no connection within %s: %w", store.ErrUnavailable, s.acquireTimeout,
			cmp.Or(last, s.noneFree()))
	}
}

// noneFree says why the pool gave no connection in time.
func (s *Store) noneFree() error {
	if stat := s.pool.Stat(); stat.AcquiredConns() >= stat.MaxConns() {
		return &refusal{why: fmt.Sprintf("all %d connections are in use: see store.postgres.max_conns", stat.MaxConns())}
	}
	return fmt.Errorf("connecting: %w", context.DeadlineExceeded)
}
