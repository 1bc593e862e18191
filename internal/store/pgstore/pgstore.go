// Package pgstore keeps accounts in a PostgreSQL database that any number of replicas share. It knows SQL and the store
// contract, nothing of HTTP or configuration.
//
// A call that writes is acknowledged only after a commit of its own that wrote WAL, because a read may find a commit
// that no standby has yet. So content that is stored already is written again, and a remembered answer is given only
// after an update of its row. Each of these statements compares what was read: the server that commits has it.
package pgstore

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"accountservice/internal/store"
)

// Options of Open.
type Options struct {
	Server           Server
	MaxConns         int           // at least 1
	AcquireTimeout   time.Duration // how long a call waits for a connection
	StatementTimeout time.Duration // of one statement, on the server
	RequireSync      bool          // refuse a server whose commits do not wait for a standby
	OnlyRead         bool          // the user needs no right to write
	Log              *slog.Logger
	Now              func() time.Time // nil for time.Now
}

// Store implements store.Store.
type Store struct {
	pool                             *pgxpool.Pool
	acquireTimeout, statementTimeout time.Duration
	demands
	log *slog.Logger
	now func() time.Time

	writes   *places                  // for connections that write
	answered atomic.Int64             // when the server last answered a call, in ns since begun
	primary  atomic.Value             // the address of the newest connection's server
	full     atomic.Pointer[fullness] // of the last write that was refused for that; nil after a success
	stop     func()                   // ends the purging of old idempotency keys, and closes stopping
	stopping <-chan struct{}
	purging  sync.WaitGroup
	close    sync.Once
	closed   chan struct{} // closed when all connections are closed
}

var _ store.Store = (*Store)(nil)

// Open returns the store. It asks the server once: an error that waiting does not end, such as a wrong password or
// schema, is returned with its cure. A server that cannot be reached now is not an error, because replicas share it:
// calls then return ErrUnavailable, and Check says why, until it is there.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{acquireTimeout: opts.AcquireTimeout, statementTimeout: opts.StatementTimeout,
		demands: demands{requireSync: opts.RequireSync, onlyRead: opts.OnlyRead},
		log:     cmp.Or(opts.Log, slog.New(slog.DiscardHandler)), now: opts.Now,
		writes: newPlaces(opts.MaxConns), closed: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	config, err := opts.Server.config(opts.AcquireTimeout)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(opts.MaxConns)
	config.MaxConnLifetimeJitter = 5 * time.Minute
	config.PingTimeout = opts.AcquireTimeout / 2
	config.PrepareConn = whole
	config.ConnConfig.ValidateConnect = s.validate
	config.ConnConfig.OnNotice = onNotice
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if err := s.greet(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	purge, stop := context.WithCancel(context.Background())
	s.stop, s.stopping = stop, purge.Done()
	s.purging.Go(func() { s.purgeUntil(purge) })
	return s, nil
}

// greet connects for the first time. Its error is one that waiting does not end.
func (s *Store) greet(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, s.acquireTimeout)
	defer cancel()
	c, err := s.pool.Acquire(bounded)
	switch {
	case err == nil:
		defer c.Release()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !comesBack(err):
		return &refusal{why: words(err), definite: true}
	}
	s.log.Warn("the database cannot be used yet", "reason", words(err))
	return nil
}

// validate decides whether a new connection is used: pgx tries the next host after an error.
func (s *Store) validate(ctx context.Context, c *pgconn.PgConn) error {
	f, err := ask(ctx, c, s.statementTimeout)
	if err != nil {
		return err
	}
	if f.pooled {
		c.CustomData()[pooledKey] = true
	}
	if err = s.refuse(f); err == nil {
		s.primary.Store(addressOf(c))
		s.noteAnswered()
	}
	return err
}

// onNotice notes the warning that the server committed without waiting for its standby, so that the commit can be lost.
// The warning is recognized by the server's function that gives it: its text is in the server's language, and its code is
// that of other warnings, too, such as of a trigger, or that transaction ids run out.
func onNotice(c *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.SeverityUnlocalized == "WARNING" && (notice.Routine == "SyncRepWaitForLSN" || notice.Routine == "") {
		c.CustomData()[warnedKey] = true
	}
}

// begun is when the clock of answered began, which no step of the system's clock moves.
var begun = time.Now()

func (s *Store) noteAnswered() { s.answered.Store(int64(time.Since(begun))) }

// silent is for how long the server has answered no call.
func (s *Store) silent() time.Duration { return time.Since(begun) - time.Duration(s.answered.Load()) }

// noteAnswer notes when the server answered, and whether it is full.
func (s *Store) noteAnswer(err error) {
	if err != nil && codeOf(err) == "" {
		return
	}
	s.noteAnswered()
	if isFull(err) {
		s.full.Store(&fullness{words(err), time.Now()})
	}
}

// Close implements store.Store.
func (s *Store) Close(ctx context.Context) error {
	s.close.Do(func() {
		s.stop()
		go func() {
			s.purging.Wait()
			s.pool.Close()
			close(s.closed)
		}()
	})
	select {
	case <-s.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
