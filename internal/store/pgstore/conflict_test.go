package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/tests/harness"
)

// The import and another transaction wait for each other's row. The server ends the import's transaction, which begins
// again.
func TestDeadlockIsRepeated(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	observer, other := session(t, url), session(t, url)
	do(t, observer, "ALTER DATABASE "+database(url)+" SET deadlock_timeout = '3s'") // of the import: time to make one
	s := open(t, options(t, url))
	accounts := func(name string) []store.Account {
		return []store.Account{{ID: "1", Draft: store.Draft{Name: name}}, {ID: "2", Draft: store.Draft{Name: name}}}
	}
	harness.Must(t, errOf(s.Import(t.Context(), accounts("old"))))
	do(t, other, "SET deadlock_timeout = '1h'") // so that the server does not end this one
	do(t, other, "BEGIN")
	do(t, other, "UPDATE accounts SET email = 'other@example.org' WHERE id = '2'")
	imported := make(chan error, 1)
	go func() { imported <- errOf(s.Import(t.Context(), accounts("new"))) }()
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		var waiting int
		err := observer.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "+
			"AND application_name = 'accountservice' AND wait_event_type = 'Lock'").Scan(&waiting)
		if err == nil && waiting == 0 {
			err = errors.New("the import does not wait for the row")
		}
		return err
	}))
	do(t, other, "UPDATE accounts SET email = 'other@example.org' WHERE id = '1'") // waits until the import is ended
	do(t, other, "COMMIT")
	if err := <-imported; err != nil {
		t.Errorf("Import = %v", err)
	}
	for _, id := range []store.ID{"1", "2"} {
		if acc, err := s.Get(t.Context(), id); err != nil || acc.Name != "new" || acc.Email != "" {
			t.Errorf("Get = %+v, %v; want what was imported", acc, err)
		}
	}
}

// The server refuses the first attempt of each write with an error of this code, and nothing is changed. Where the code
// leaves that open, a write without a key is not repeated.
func TestErrorsOfTheServerAreRepeatedOrLeaveTheOutcomeOpen(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	c, s := session(t, url), open(t, options(t, url))
	do(t, c, "CREATE SEQUENCE attempts")
	do(t, c, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'first attempt' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW; END $$`)
	for code, open := range map[string]bool{"40001": false, "40P01": false, "25006": false, "57P03": false, "53300": false,
		"40003": true, "57P01": true, "57P02": true, "08000": true, "08006": true, "08P01": true} {
		do(t, c, fmt.Sprintf("CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION fail('%s')", code))
		do(t, c, "ALTER SEQUENCE attempts RESTART")
		err := errOf(s.Put(t.Context(), store.ID(code), store.Draft{Name: "x"}, store.Preconditions{}))
		if open && !errors.Is(err, store.ErrOutcomeUnknown) || !open && err != nil {
			t.Errorf("%s: Put = %v, want it unknown: %t", code, err, open)
		}
		do(t, c, "ALTER SEQUENCE attempts RESTART")
		if err := errOf(s.Put(t.Context(), store.ID(code+"-keyed"), store.Draft{Name: "x"}, once(code))); err != nil {
			t.Errorf("%s: Put under a key = %v", code, err)
		}
	}
}

// An operator who wants no email twice gets the server's refusal at once: to begin again does not help.
func TestRefusalByAnIndexOfTheOperatorIsNotRepeated(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	s := open(t, options(t, url))
	do(t, session(t, url), "CREATE UNIQUE INDEX own ON accounts (email)")
	ada := store.Draft{Name: "Ada", Email: "ada@example.org"}
	harness.Must(t, errOf(s.Put(t.Context(), "1", ada, store.Preconditions{})))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for name, err := range map[string]error{
		"put":       errOf(s.Put(ctx, "2", ada, store.Preconditions{})),
		"under key": errOf(s.Put(ctx, "2", ada, once("key"))),
		"import":    errOf(s.Import(ctx, []store.Account{{ID: "2", Draft: ada}})),
	} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"own"`) {
			t.Errorf("%s = %v, want that the index refuses it", name, err)
		}
	}
}

// A trigger or a policy of an operator can have a statement change nothing: to begin again does not help then.
func TestStatementThatMayChangeNoRowEnds(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	s := open(t, options(t, url))
	operator := session(t, url)
	do(t, operator, "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
	do(t, operator, "CREATE TRIGGER ignore BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION ignore()")
	ada := store.Draft{Name: "Ada"}
	for name, err := range map[string]error{
		"put":    errOf(s.Put(t.Context(), "1", ada, store.Preconditions{})),
		"import": errOf(s.Import(t.Context(), []store.Account{{ID: "2", Draft: ada}})),
	} {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "changed no row") {
			t.Errorf("%s = %v, want that no row was changed", name, err)
		}
	}
}
