package pgstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// server is that of all tests, nil where PostgreSQL is not installed.
var server *harness.Postgres

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if harness.PostgresBin() == "" {
			return m.Run()
		}
		var err error
		if server, err = harness.StartPostgres("synchronous_standby_names=nobody", "synchronous_commit=local"); err == nil {
			defer server.Remove()
			var at pgstore.Server
			if at, err = pgstore.ParseServer(server.URL("postgres", "template1")); err == nil {
				_, err = pgstore.Migrate(context.Background(), at, slog.New(slog.DiscardHandler))
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// fresh returns the URL of a new database with the schema.
func fresh(t *testing.T) (url string) {
	t.Helper()
	harness.NeedPostgres(t)
	return server.URL("postgres", server.Database(t, "template1"))
}

func options(t *testing.T, url string) pgstore.Options {
	t.Helper()
	at, err := pgstore.ParseServer(url)
	harness.Must(t, err)
	return pgstore.Options{Server: at, MaxConns: 10, AcquireTimeout: 5 * time.Second, StatementTimeout: 10 * time.Second}
}

func open(t *testing.T, opts pgstore.Options) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), opts)
	harness.Must(t, err)
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		url := fresh(t)
		return func(t *testing.T, now func() time.Time) store.Store {
			opts := options(t, url)
			opts.Now = now
			return open(t, opts)
		}
	})
}

// Another program of the database can write what no account has.
func TestUnreadableRowKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) (store.Store, storetest.Damager) {
		url := fresh(t)
		opts := options(t, url)
		opts.AcquireTimeout = time.Minute
		other := session(t, url)
		return open(t, opts), func(t *testing.T, ids ...store.ID) {
			t.Helper()
			for i, id := range ids {
				change := []string{"labels = ''", `labels = '{"a":1}'`, "updated_at = 'infinity'", "created_at = '-infinity'"}[i%4]
				do(t, other, "UPDATE accounts SET "+change+" WHERE id = $1", []byte(id))
			}
		}
	})
}

// The accounts that lines of some bytes replace can have 65 KB each.
func TestImportKeepsNotAllThatItReplacesInMemory(t *testing.T) {
	s := open(t, options(t, fresh(t)))
	labels := make(map[string]string)
	for i := range store.MaxLabels {
		labels[fmt.Sprint("key-", i)] = strings.Repeat("\U0001d4b3", store.MaxLabelLength)
	}
	var large, small []store.Account
	for i := range 300 {
		acc := store.Account{ID: store.ID(fmt.Sprint(i)), Draft: store.Draft{Name: "x", Labels: labels}}
		large = append(large, acc)
		acc.Labels = nil
		small = append(small, acc)
	}
	for piece := range slices.Chunk(large, 20) {
		harness.Must(t, errOf(s.Import(t.Context(), piece)))
	}
	live := func() uint64 {
		runtime.GC()
		found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(found)
		return found[0].Value.Uint64()
	}
	most := live() + 12<<20 // they have 20 MiB
	done := make(chan error, 1)
	go func() { done <- errOf(s.Import(t.Context(), small)) }()
	for {
		select {
		case err := <-done:
			harness.Must(t, err)
			return
		default:
			if got := live(); got > most {
				t.Fatalf("%d KiB are in memory, want at most %d", got>>10, most>>10)
			}
		}
	}
}

// An operator, or another program of the same role, may want texts and times otherwise.
func TestTextsAndTimesAreReadAndStoredWhateverTheDatabaseSets(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator := session(t, url)
	do(t, operator, "ALTER DATABASE "+database(url)+" SET client_encoding = 'LATIN1'")
	do(t, operator, "ALTER DATABASE "+database(url)+" SET datestyle = 'German, DMY'")
	opts := options(t, url)
	harness.Must(t, errOf(pgstore.Migrations(t.Context(), opts.Server, slog.New(slog.DiscardHandler))))
	harness.Must(t, errOf(open(t, opts).Put(t.Context(), "1", store.Draft{Name: "€"}, store.Preconditions{})))
	var name string
	harness.Must(t, operator.QueryRow(t.Context(), "SELECT name FROM accounts").Scan(&name))
	if name != "€" {
		t.Errorf("the database has the name %q, want €", name)
	}
}
