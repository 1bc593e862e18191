package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
)

// conn is a connection with the mode in which pgx must send its statements.
type conn struct {
	*pgx.Conn
	mode   pgx.QueryExecMode
	commit *commit
}

// commit is one that a connection is asked for.
type commit struct {
	abandoned bool       // the caller has not waited for the answer: nothing else may use the connection
	answered  chan error // gets the error of the commit
}

// Keys of the custom data of a connection.
const (
	pooledKey = "pooled" // set if a pooler gives each transaction another session
	warnedKey = "warned" // set if the server sent a warning that a commit did not wait for its standby
)

func connOf(c *pgx.Conn) conn {
	if c.PgConn().CustomData()[pooledKey] != nil {
		return conn{c, pgx.QueryExecModeExec, &commit{}} // no prepared statement: the next session does not have it
	}
	return conn{c, pgx.QueryExecModeCacheStatement, &commit{}}
}

func (c conn) query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return c.Conn.Query(ctx, sql, append([]any{c.mode}, args...)...)
}

func (c conn) exec(ctx context.Context, sql string, args ...any) (changed int64, err error) {
	if c.PgConn().TxStatus() == 'I' { // it is a transaction of its own
		socketOf(c.PgConn()).commits.Store(true)
	}
	tag, err := c.Conn.Exec(ctx, sql, append([]any{c.mode}, args...)...)
	return tag.RowsAffected(), err
}

// write runs a statement that is a transaction of its own. If it changed nothing, the error is errLost.
func (c conn) write(ctx context.Context, sql string, args ...any) error {
	var changed int64
	err := c.committing(ctx, func(ctx context.Context) (err error) {
		changed, err = c.exec(ctx, sql, args...)
		return err
	})
	if err == nil && changed == 0 {
		return errLost
	}
	return err
}

// committing runs what commits, and returns its error. If ctx ends before the server has answered, it returns all the
// same: the commit goes on, because a wait for the standby that is cut short makes the row visible, and a primary that
// fails then takes it away again.
func (c conn) committing(ctx context.Context, run func(context.Context) error) error {
	if ctx.Err() != nil {
		return readFailure(ctx.Err())
	}
	delete(c.PgConn().CustomData(), warnedKey)
	socketOf(c.PgConn()).commits.Store(true)
	answered := make(chan error, 1)
	c.commit.answered = answered
	go func() { answered <- run(context.WithoutCancel(ctx)) }()
	select {
	case err := <-answered:
		return c.committed(err)
	case <-ctx.Done():
		c.commit.abandoned = true
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, ctx.Err())
	}
}

// committed returns the error of a commit for which pgx returned err.
func (c conn) committed(err error) error {
	if c.PgConn().CustomData()[warnedKey] != nil {
		return fmt.Errorf("%w: the server ended the wait for its standby", store.ErrOutcomeUnknown)
	}
	return commitFailure(err)
}
