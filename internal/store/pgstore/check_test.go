package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/internal/warning"
	"accountservice/tests/harness"
)

// says waits until a check says this, "" for nothing.
func says(t *testing.T, s *pgstore.Store, want string) {
	t.Helper()
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Check(ctx)
		if want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want) {
			return nil
		}
		return fmt.Errorf("the check says %v, want %q", err, want)
	}))
}

func TestStartIsRefusedWithItsCure(t *testing.T) {
	url := fresh(t)
	c := session(t, url)
	do(t, c, "CREATE ROLE stranger LOGIN")
	do(t, c, "CREATE ROLE reader LOGIN")
	do(t, c, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
	do(t, c, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	do(t, c, "CREATE DATABASE bare TEMPLATE template0")
	older, newer, compatible := fresh(t), fresh(t), fresh(t)
	do(t, session(t, older), fmt.Sprint("DELETE FROM goose_db_version WHERE version_id = ", pgstore.SchemaVersion))
	do(t, session(t, newer), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, true)")
	do(t, session(t, newer), "UPDATE service_state SET oldest_schema = 1000")
	do(t, session(t, compatible), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, true)")
	for name, c := range map[string]struct {
		url  string
		sync bool
		want string
	}{
		"no database":           {server.URL("postgres", "nowhere"), false, "no such database (3D000)"},
		"no user":               {server.URL("nobody-here", "postgres"), false, "user name"},
		"no rights":             {server.URL("stranger", database(url)), false, "grant"},
		"no right to write":     {server.URL("reader", database(url)), false, "grant"},
		"no TLS":                {strings.TrimSuffix(url, "?sslmode=disable"), false, "sslmode=disable"},
		"no schema":             {server.URL("postgres", "bare"), false, "accountservice migrate up"},
		"encoding":              {server.URL("postgres", "latin"), false, "UTF8"},
		"older schema":          {older, false, "accountservice migrate up"},
		"newer schema":          {newer, false, "run a newer version"},
		"no sync":               {url, true, "synchronous_commit is local"},
		"newer, but compatible": {compatible, false, ""},
	} {
		opts := options(t, c.url)
		opts.RequireSync = c.sync
		s, err := pgstore.Open(t.Context(), opts)
		if c.want == "" && err == nil {
			says(t, s, "schema 1000, and this version is for")
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	url := fresh(t)
	c, name := session(t, url), database(url)
	opts := options(t, url)
	opts.MaxConns = 2
	s := open(t, opts)
	says(t, s, "")
	do(t, c, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	s.PoolForTest().Reset()
	says(t, s, "read-only")
	do(t, c, "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	says(t, s, "")
	do(t, c, "UPDATE service_state SET oldest_schema = 1000")
	says(t, s, "run a newer version")
	do(t, c, "UPDATE service_state SET oldest_schema = 1")
	says(t, s, "")
	s.LimitsForTest(true, opts.AcquireTimeout)
	says(t, s, "synchronous_commit is local")
	do(t, c, "ALTER DATABASE "+name+" SET synchronous_commit = on")
	says(t, s, "") // the server names a standby
	s.LimitsForTest(false, opts.AcquireTimeout)

	first, err := s.PoolForTest().Acquire(t.Context())
	harness.Must(t, err)
	second, err := s.PoolForTest().Acquire(t.Context())
	harness.Must(t, err)
	says(t, s, "all 2 connections are in use by clients, and the server answers on them: store.postgres.max_conns")
	says(t, s, "the server has not answered on one for")
	s.LimitsForTest(false, 100*time.Millisecond)
	_, err = s.Get(t.Context(), "1")
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "all 2 connections are in use: see store.postgres.max_conns") {
		t.Errorf("Get without a free connection = %v", err)
	}
	first.Release()
	second.Release()
	says(t, s, "")
}

func TestServerWithTooManyConnectionsIsSaidAndWaitedFor(t *testing.T) {
	url := fresh(t)
	c, name := session(t, url), database(url)
	do(t, c, "CREATE ROLE counted LOGIN")
	do(t, c, "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, idempotency TO counted")
	do(t, c, "GRANT SELECT ON goose_db_version, service_state TO counted")
	do(t, c, "ALTER DATABASE "+name+" CONNECTION LIMIT 0") // superusers are not counted
	opts := options(t, server.URL("counted", name))
	opts.AcquireTimeout = 500 * time.Millisecond
	s := open(t, opts)
	says(t, s, "the server has too many connections (53300)")
	if _, err := s.Get(t.Context(), "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get = %v, want ErrUnavailable", err)
	}
	do(t, c, "ALTER DATABASE "+name+" CONNECTION LIMIT 2") // that of c is one
	says(t, s, "")
	held, err := s.PoolForTest().Acquire(t.Context()) // by a client
	harness.Must(t, err)
	says(t, s, "all 1 connections are in use by clients, and the server answers on them, but gives no new one: the server has too many connections (53300)")
	says(t, s, "the server has not answered on one for")
	held.Release()
	says(t, s, "")
}

// The connections that the server grants may all be idle again when the check asks why it got none.
func TestServerThatGrantsFewConnectionsNeverFailsTheCheck(t *testing.T) {
	url := fresh(t)
	c, name := session(t, url), database(url)
	role := "few_" + name
	do(t, c, "CREATE ROLE "+role+" LOGIN CONNECTION LIMIT 2")
	do(t, c, "GRANT SELECT ON accounts, idempotency, goose_db_version, service_state TO "+role)
	opts := options(t, server.URL(role, name))
	opts.MaxConns, opts.OnlyRead = 20, true
	s := open(t, opts)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	pause := func(length time.Duration) {
		select {
		case <-time.After(length):
		case <-ctx.Done():
		}
	}
	for range 40 {
		readers.Go(func() {
			for ctx.Err() == nil {
				s.Get(ctx, "1")
				pause(50 * time.Millisecond)
			}
		})
	}
	warned := 0
	for range 100 {
		err := s.Check(ctx)
		if _, warns := errors.AsType[warning.Error](err); warns {
			warned++
		} else if err != nil {
			t.Errorf("Check = %v, want a warning at most", err)
		}
		pause(20 * time.Millisecond)
	}
	stop()
	readers.Wait()
	if warned == 0 {
		t.Error("the check always got a connection: this test shows nothing")
	}
}

// startOwn starts a server of the test's own, with the schema.
func startOwn(t *testing.T) *harness.Postgres {
	t.Helper()
	harness.NeedPostgres(t)
	own, err := harness.StartPostgres()
	harness.Must(t, err)
	t.Cleanup(func() { own.Remove() })
	at := options(t, own.URL("postgres", "postgres")).Server
	harness.Must(t, errOf(pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))))
	return own
}

// A server that makes no new connection and answers on those that clients use: a warning, until it is silent.
func TestServerThatMakesNoConnectionAndAnswers(t *testing.T) {
	own := startOwn(t)
	opts := options(t, own.URL("postgres", "postgres"))
	opts.AcquireTimeout = 100 * time.Millisecond
	s := open(t, opts)
	check := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return s.Check(ctx)
	}
	says(t, s, "")
	own.SignalFirst(t, syscall.SIGSTOP)
	defer own.SignalFirst(t, syscall.SIGCONT)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				s.Get(ctx, "1")
			}
		})
	}
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		err := check()
		if _, warns := errors.AsType[warning.Error](err); err != nil && !warns {
			t.Errorf("Check = %v, want a warning at most", err)
		}
		if err == nil || !strings.Contains(err.Error(), "answers on them, but gives no new one: the server") {
			return fmt.Errorf("Check = %v, want the warning", err)
		}
		return nil
	}))
	stop()
	readers.Wait()
	held, err := s.PoolForTest().Acquire(t.Context())
	harness.Must(t, err)
	says(t, s, "the server has not answered on one for")
	held.Release()
}

// A standby that refuses beside it says nothing of a primary that makes no new connection and answers on the others.
func TestStandbyBesideABusyPrimaryIsNoFailure(t *testing.T) {
	own, beside := startOwn(t), startOwn(t)
	c := session(t, own.URL("postgres", "postgres"))
	for _, on := range []*pgx.Conn{c, session(t, beside.URL("postgres", "postgres"))} {
		do(t, on, "CREATE ROLE counted LOGIN")
		do(t, on, "GRANT SELECT ON accounts, idempotency, goose_db_version, service_state TO counted")
	}
	harness.Must(t, beside.Halt("immediate"))
	beside.Standby(t, true)
	harness.Must(t, beside.Start())
	opts := options(t, fmt.Sprintf("postgres://counted@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable", own.Port, beside.Port))
	opts.AcquireTimeout, opts.OnlyRead = 200*time.Millisecond, true
	s := open(t, opts)
	says(t, s, "")
	held, err := s.PoolForTest().Acquire(t.Context()) // by a client
	harness.Must(t, err)
	defer held.Release()
	warns := func(want string) {
		t.Helper()
		s.AnsweredForTest()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Check(ctx)
		if _, is := errors.AsType[warning.Error](err); !is || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want a warning: %s", err, want)
		}
	}
	do(t, c, "ALTER ROLE counted CONNECTION LIMIT 1")
	warns("gives no new one")
	do(t, c, "ALTER ROLE counted CONNECTION LIMIT -1")
	own.SignalFirst(t, syscall.SIGSTOP)
	defer own.SignalFirst(t, syscall.SIGCONT)
	warns("gives no new one")
}

// A server that is stopped, hangs, or becomes a standby, and the same one as primary again.
func TestServerThatGoesAndComesBack(t *testing.T) {
	own := startOwn(t)
	opts := options(t, own.URL("postgres", "postgres"))
	opts.AcquireTimeout = 500 * time.Millisecond
	s := open(t, opts)
	put := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return errOf(s.Put(ctx, "1", store.Draft{Name: fmt.Sprint(time.Now())}, store.Preconditions{}))
	}
	comesBack := func() {
		t.Helper()
		says(t, s, "")
		harness.Must(t, put())
	}
	comesBack()
	harness.Must(t, own.Halt("immediate"))
	says(t, s, "the server cannot be reached")
	if err := put(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	late, err := pgstore.Open(t.Context(), opts) // a replica that starts now
	harness.Must(t, err)
	says(t, late, "the server cannot be reached")
	harness.Must(t, own.Start())
	comesBack()
	says(t, late, "")

	own.Signal(t, syscall.SIGSTOP)
	says(t, s, "does not answer in time")
	if err := put(); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrOutcomeUnknown) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put = %v", err)
	}
	own.Signal(t, syscall.SIGCONT)
	comesBack()

	harness.Must(t, own.Halt("fast"))
	own.Standby(t, true)
	harness.Must(t, own.Start())
	says(t, s, "connected to a standby")
	if err := put(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	own.Standby(t, false)
	harness.Must(t, own.Halt("fast"))
	harness.Must(t, own.Start())
	comesBack()
}

func TestCheckOfALostConnectionSaysSo(t *testing.T) {
	t.Parallel()
	s, proxy := throughProxy(t, fresh(t))
	says(t, s, "")
	proxy.CutAnswer("pg_backend_pid")
	if err := s.Check(t.Context()); err == nil || strings.Contains(err.Error(), "as PostgreSQL does") {
		t.Errorf("Check = %v, want that the connection was lost", err)
	}
	says(t, s, "")
}
