package pgstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/tests/harness"
)

func TestMigrationsAreNumberedAndOneStatementEach(t *testing.T) {
	files, err := os.ReadDir("migrations")
	harness.Must(t, err)
	for i, file := range files {
		text := harness.Read(t, "migrations/"+file.Name())
		if !strings.HasPrefix(file.Name(), fmt.Sprintf("%05d_", i+1)) || strings.Count(text, ";") != 1 {
			t.Errorf("%s is not number %d, or not one statement", file.Name(), i+1)
		}
	}
}

// CockroachDB and YugabyteDB lack these, or do something else.
func TestSQLUsesNothingThatOnlyPostgreSQLHas(t *testing.T) {
	var files []string
	for _, pattern := range []string{"migrations/*.sql", "*.go"} {
		found, err := filepath.Glob(pattern)
		harness.Must(t, err)
		files = append(files, found...)
	}
	special := regexp.MustCompile(`\b(xmin|nextval|pg_advisory\w*|LISTEN|NOTIFY|SERIAL|SEQUENCE|IDENTITY|COLLATE|DEFAULT|FOR UPDATE|FOR SHARE)\b`)
	for _, file := range files {
		text := harness.Read(t, file)
		if found := special.FindString(text); found != "" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %s", file, found)
		}
	}
}

// empty returns the URL of a new database without the schema, and its server.
func empty(t *testing.T) (url string, at pgstore.Server) {
	t.Helper()
	harness.NeedPostgres(t)
	url = server.URL("postgres", server.Database(t, "template0"))
	return url, options(t, url).Server
}

// A commit that is cut off can have been made.
func TestStepThatFailsSaysWhatShowsItsState(t *testing.T) {
	url, at := empty(t)
	server.SQL(t, database(url), "CREATE TABLE accounts ()")
	_, err := pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "accountservice migrate status says whether this step was taken") {
		t.Errorf("the first step failed: %v", err)
	}
}

func TestMigrationsAtOnceWaitForEachOther(t *testing.T) {
	_, at := empty(t)
	var steps atomic.Int32
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			done, err := pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("Migrate: %v", err)
			}
			steps.Add(int32(len(done)))
		})
	}
	all.Wait()
	if int64(steps.Load()) != pgstore.SchemaVersion {
		t.Errorf("%d steps were taken, want each of %d once", steps.Load(), pgstore.SchemaVersion)
	}
	list, err := pgstore.Migrations(t.Context(), at, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	for _, m := range list {
		if m.Applied.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}

// The role of the service has no right on the table that Migrate locks.
func TestStepsAreShownToTheRoleOfTheService(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	c := session(t, url)
	do(t, c, "CREATE ROLE steps LOGIN")
	do(t, c, "GRANT SELECT ON goose_db_version TO steps")
	at, err := pgstore.ParseServer(server.URL("steps", database(url)))
	harness.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	list, err := pgstore.Migrations(ctx, at, slog.New(slog.DiscardHandler))
	if err != nil || int64(len(list)) != pgstore.SchemaVersion || list[0].Applied.IsZero() {
		t.Errorf("%v, %v; want %d steps that were taken", list, err, pgstore.SchemaVersion)
	}
}

func TestTimeOfAStepIsThatOfUTC(t *testing.T) {
	url, at := empty(t)
	do(t, session(t, url), "ALTER DATABASE "+database(url)+" SET timezone = 'Asia/Tokyo'")
	harness.Must(t, errOf(pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))))
	list, err := pgstore.Migrations(t.Context(), at, slog.New(slog.DiscardHandler))
	harness.Must(t, err)
	for _, m := range list {
		if ago := time.Since(m.Applied); ago < -time.Minute || ago > 10*time.Minute {
			t.Errorf("%s was applied %s ago", m.Name, ago)
		}
	}
}

// A step finds a relation of its name that another program made.
func TestStepsBeforeOneThatFailsAreTold(t *testing.T) {
	url, at := empty(t)
	do(t, session(t, url), "CREATE TABLE idempotency_age (id INT)")
	done, err := pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))
	if err == nil || len(done) != 2 {
		t.Errorf("Migrate = %+v, %v; want two steps and an error", done, err)
	}
}

// A migration finds accounts, and replicas of the version before it write more until they are replaced: a new column
// must take both, and be read as it is then.
func TestRowsOfTheFirstReleaseAreServed(t *testing.T) {
	url, at := empty(t)
	harness.Must(t, pgstore.MigrateToForTest(t.Context(), at, 5))
	c := session(t, url)
	add := func(id string) {
		do(t, c, `INSERT INTO accounts (id, name, email, labels, version, created_at, updated_at, revision)
  VALUES ($1, 'one', 'a@example.org', '{"a":"b"}', 1, now(), now(), 'r')`, []byte(id))
	}
	add("before")
	harness.Must(t, errOf(pgstore.Migrate(t.Context(), at, slog.New(slog.DiscardHandler))))
	add("between")
	s := open(t, options(t, url))
	want := store.Draft{Name: "one", Email: "a@example.org", Labels: map[string]string{"a": "b"}}
	page, err := s.List(t.Context(), store.Query{Limit: 10})
	if err != nil || len(page.Accounts) != 2 {
		t.Errorf("List = %+v, %v, want two accounts", page, err)
	}
	for _, id := range []store.ID{"before", "between"} {
		if acc, err := s.Get(t.Context(), id); err != nil || !acc.Draft.Equal(want) {
			t.Errorf("Get(%s) = %+v, %v", id, acc, err)
		}
		w, err := s.Put(t.Context(), id, store.Draft{Name: "two"}, store.Preconditions{})
		if err != nil || w.Account.Version != 2 {
			t.Errorf("Put(%s) = %+v, %v", id, w, err)
		}
	}
}

// The rights of docs/postgres.md.
func TestServiceNeedsNoMoreRightsThanTheseOnes(t *testing.T) {
	url := fresh(t)
	c := session(t, url)
	do(t, c, "CREATE ROLE clerk LOGIN")
	do(t, c, "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, idempotency TO clerk")
	do(t, c, "GRANT SELECT ON goose_db_version, service_state TO clerk")
	s := open(t, options(t, server.URL("clerk", database(url))))
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key"))))
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key"))))
	harness.Must(t, errOf(s.Update(t.Context(), "1", store.Preconditions{}, same)))
	harness.Must(t, errOf(s.Import(t.Context(), []store.Account{{ID: "2", Draft: store.Draft{Name: "two"}}})))
	harness.Must(t, s.Delete(t.Context(), "1", store.Preconditions{}))
	harness.Must(t, s.PurgeForTest(t.Context()))
	says(t, s, "")
}

func TestOldKeysAreRemovedInPieces(t *testing.T) {
	url := fresh(t)
	c, s := session(t, url), open(t, options(t, url))
	do(t, c, `INSERT INTO idempotency SELECT sha256(n::text::bytea), '', now() - interval '24 hours', '' FROM generate_series(1, $1::bigint) AS n`,
		2*pgstore.PurgePiece+1)
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, once("key"))))
	harness.Must(t, s.PurgeForTest(t.Context()))
	var left int
	harness.Must(t, c.QueryRow(t.Context(), "SELECT count(*) FROM idempotency").Scan(&left))
	if left != 1 {
		t.Errorf("%d keys are left, want the new one", left)
	}
}
