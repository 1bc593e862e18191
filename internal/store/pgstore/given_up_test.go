package pgstore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/tests/harness"
)

// A commit whose caller gave up goes on waiting. Cut short, it would be seen by readers and could be lost.
func TestWriteThatWasGivenUpIsSeenOnlyAfterItsWait(t *testing.T) {
	url := fresh(t)
	operator := session(t, url)
	do(t, operator, "ALTER DATABASE "+database(url)+" SET synchronous_commit = on")
	opts := options(t, url)
	opts.MaxConns, opts.AcquireTimeout = 4, time.Second
	s := open(t, opts)
	put := func(ctx context.Context, id store.ID) error {
		return errOf(s.Put(ctx, id, store.Draft{Name: "x"}, store.Preconditions{}))
	}
	giveUp := func(id store.ID, waiting int) { // once so many commits wait
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- put(ctx, id) }()
		err := awaitWaits(t, operator, waiting)
		cancel()
		if err := cmp.Or(err, <-done); !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("Put %s = %v, want ErrOutcomeUnknown", id, err)
		}
	}
	giveUp("1", 1)
	giveUp("2", 2)
	giveUp("3", 3)
	err := put(t.Context(), "4")
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "all 3 connections for writes are in use") {
		t.Errorf("Put beside three that wait = %v", err)
	}
	if acc, err := s.Get(t.Context(), "1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %+v, %v: no standby has it", acc, err)
	}
	says(t, s, "no write can begin: all 3 connections for writes wait")
	harness.Must(t, endWaits(t, operator, "pg_cancel_backend", 3))
	harness.Must(t, harness.Eventually(20*time.Second, func() error { return errOf(s.Get(t.Context(), "1")) }))
	harness.Must(t, harness.Eventually(20*time.Second, func() error { return inUse(s) }))
	says(t, s, "")
	giveUp("5", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	harness.Must(t, s.Close(ctx)) // it does not wait for the standby
}

// The first attempt waits for a standby for longer than an attempt may take, and those after it for the key that it
// holds. They change nothing, and it is done in the end.
func TestWriteUnderAKeyWhoseFirstAttemptGoesOnIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator := session(t, url)
	do(t, operator, "ALTER DATABASE "+database(url)+" SET synchronous_commit = on")
	opts := options(t, url)
	opts.StatementTimeout = time.Second
	s := open(t, opts)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.Put(ctx, "1", store.Draft{Name: "one"}, once("key")); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("Put = %v, want ErrOutcomeUnknown", err)
	}
	harness.Must(t, endWaits(t, operator, "pg_cancel_backend", 1))
	harness.Must(t, harness.Eventually(20*time.Second, func() error { return errOf(s.Get(t.Context(), "1")) }))
}

func TestPurgeThatIsGivenUpGoesOnWaitingForItsStandby(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator := session(t, url)
	do(t, operator, "INSERT INTO idempotency VALUES ('key', '', '2000-01-01', '')")
	do(t, operator, "ALTER DATABASE "+database(url)+" SET synchronous_commit = on")
	opts := options(t, url)
	opts.StatementTimeout = time.Second
	if err := open(t, opts).PurgeForTest(t.Context()); err == nil {
		t.Error("the purge does not wait for a standby")
	}
	harness.Must(t, endWaits(t, operator, "pg_cancel_backend", 1))
}

// inUse is an error while connections are in use.
func inUse(s *pgstore.Store) error {
	if used := s.PoolForTest().Stat().AcquiredConns(); used > 0 {
		return fmt.Errorf("%d connections are in use", used)
	}
	return nil
}

const waitingCommits = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"

// awaitWaits waits until so many commits wait for a standby.
func awaitWaits(t *testing.T, operator *pgx.Conn, want int) error {
	return harness.Eventually(20*time.Second, func() error {
		var there int
		err := operator.QueryRow(t.Context(), "SELECT count(*) "+waitingCommits).Scan(&there)
		if err == nil && there != want {
			err = fmt.Errorf("%d commits wait, want %d", there, want)
		}
		return err
	})
}

// endWaits ends the waits for a standby by this function of PostgreSQL as soon as there are so many.
func endWaits(t *testing.T, operator *pgx.Conn, function string, want int) error {
	if err := awaitWaits(t, operator, want); err != nil {
		return err
	}
	var ended int
	return operator.QueryRow(t.Context(), "SELECT count("+function+"(pid)) "+waitingCommits).Scan(&ended)
}

// A caller that gives up says nothing of the store: it counts as cancelled, and a deadline as one that was missed.
func TestCallThatIsGivenUpDoesNotMakeTheStoreUnavailable(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	s, operator := open(t, options(t, url)), session(t, url)
	do(t, operator, "BEGIN")
	do(t, operator, "LOCK TABLE accounts")
	none := store.Preconditions{}
	for name, call := range map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { return errOf(s.Get(ctx, "1")) },
		"many":   func(ctx context.Context) error { return errOf(s.GetMany(ctx, []store.ID{"1"})) },
		"list":   func(ctx context.Context) error { return errOf(s.List(ctx, store.Query{Limit: 1})) },
		"put":    func(ctx context.Context) error { return errOf(s.Put(ctx, "1", store.Draft{Name: "x"}, none)) },
		"update": func(ctx context.Context) error { return errOf(s.Update(ctx, "1", none, nil)) },
		"import": func(ctx context.Context) error {
			return errOf(s.Import(ctx, []store.Account{{ID: "1", Draft: store.Draft{Name: "x"}}}))
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s = %v, want the end of its time alone", name, err)
		}
		cancel()
	}
}

// A table is locked, as by an operator's ALTER TABLE, and clients wait for less than the statement may.
func TestCallsThatAreGivenUpTakeNoMoreConnectionsThanThePoolHas(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	opts := options(t, url)
	opts.MaxConns, opts.StatementTimeout = 2, time.Minute
	s, operator, watch := open(t, opts), session(t, url), session(t, url)
	do(t, operator, "BEGIN")
	do(t, operator, "LOCK TABLE accounts")
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		s.Get(ctx, "1")
		cancel()
	}
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		var there int
		err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND application_name = 'accountservice'").Scan(&there)
		if most := 2 * opts.MaxConns; err == nil && there > most { // a busy server can be late to cancel one
			err = fmt.Errorf("the server has %d connections, want %d at most", there, most)
		}
		return err
	}))
}

func TestConnectionsToASilentServerAreGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	own := startOwn(t)
	opts := options(t, own.URL("postgres", "postgres"))
	opts.MaxConns = 2
	s := open(t, opts)
	says(t, s, "")
	own.Signal(t, syscall.SIGSTOP)
	defer own.Signal(t, syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get = %v, want the end of its time", err)
	}
	harness.Must(t, harness.Eventually(5*time.Second, func() error { return inUse(s) }))
}

// A commit must not wait for the answer of a server that another one has replaced.
func TestCommitOnAReplacedServerIsGivenUp(t *testing.T) {
	t.Parallel()
	old, next := startOwn(t), startOwn(t)
	old.SQL(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	url := strings.Replace(old.URL("postgres", "postgres"), fmt.Sprint(":", old.Port), fmt.Sprintf(":%d,127.0.0.1:%d", old.Port, next.Port), 1)
	s := open(t, options(t, url))
	harness.Must(t, harness.Eventually(20*time.Second, func() error { // the server has read its new settings
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := errOf(s.Put(ctx, "1", store.Draft{Name: "x"}, store.Preconditions{})); !errors.Is(err, store.ErrOutcomeUnknown) {
			return fmt.Errorf("Put = %w, want ErrOutcomeUnknown", err)
		}
		return nil
	}))
	old.Signal(t, syscall.SIGSTOP)
	defer old.Signal(t, syscall.SIGCONT)
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := errOf(s.Put(ctx, "2", store.Draft{Name: "x"}, store.Preconditions{})); err != nil { // the next server answers
			return err
		}
		return inUse(s)
	}))
}

// A context that ends between the last byte of an answer and the end of its call cuts the connection, and pgx takes it
// for a good one.
func TestConnectionThatWasCutAfterItsAnswerIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	s := open(t, options(t, fresh(t)))
	c, err := s.PoolForTest().Acquire(t.Context())
	harness.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	rows, err := c.Query(ctx, "SELECT 1")
	harness.Must(t, err)
	rows.Next() // the rest of the answer came with it
	<-ctx.Done()
	rows.Close()
	if rows.Err() != nil || c.Conn().IsClosed() {
		t.Fatalf("the call failed: %v; this test wants one that does not", rows.Err())
	}
	c.Release()
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check after a call that was cut = %v", err)
	}
}

// A client that goes away must not cost a session: it can do so hundreds of times a second.
func TestCallThatIsCancelledKeepsItsConnection(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	opts := options(t, url)
	opts.MaxConns = 1
	s, operator := open(t, opts), session(t, url)
	harness.Must(t, errOf(s.List(t.Context(), store.Query{Limit: 1}))) // the statement is prepared
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	harness.Must(t, harness.Eventually(20*time.Second, func() error { // on a busy machine the end can come too late
		do(t, operator, "BEGIN")
		do(t, operator, "LOCK TABLE accounts")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- errOf(s.List(ctx, store.Query{Limit: 1})) }()
		harness.Until(20*time.Second, func() bool {
			n := 0
			harness.Must(t, operator.QueryRow(t.Context(), waiting).Scan(&n))
			return n > 0
		})
		cancel()
		var err error
		select {
		case err = <-done:
			err = fmt.Errorf("it was cut: %w", err)
		case <-time.After(100 * time.Millisecond): // it waits for the end of its statement
		}
		do(t, operator, "COMMIT")
		if err == nil {
			err = <-done
		}
		return err
	}))
}

// A call that is cancelled, and whose server does not answer, holds no connection for long.
func TestCancelledCallOfASilentServerIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	own := startOwn(t)
	s := open(t, options(t, own.URL("postgres", "postgres")))
	says(t, s, "")
	own.Signal(t, syscall.SIGSTOP)
	defer own.Signal(t, syscall.SIGCONT)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := s.Get(ctx, "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v, want that it was cancelled", err)
	}
	harness.Must(t, harness.Eventually(5*time.Second, func() error { return inUse(s) }))
}
