package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
	"accountservice/internal/store/pgstore"
	"accountservice/tests/harness"
)

// session returns a connection for what a test does itself to a database.
func session(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	harness.Must(t, err)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func do(t *testing.T, c *pgx.Conn, statement string, args ...any) {
	t.Helper()
	_, err := c.Exec(t.Context(), statement, args...)
	harness.Must(t, err)
}

func database(url string) string {
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	return name
}

func once(key string) store.Preconditions {
	return store.Preconditions{Idempotency: &store.Idempotency{Key: key, Answer: func(w store.Written) []byte {
		return fmt.Appendf(nil, "%s %d", w.Account.ID, w.Account.Version)
	}}}
}

func same(acc store.Account) (store.Draft, error) { return acc.Draft, nil }

func errOf[T any](_ T, err error) error { return err }

// The server waits for a standby that there is none of: whatever commits with WAL is not answered. So a write that is
// acknowledged was without a commit of its own, and could be lost.
func TestNothingIsAcknowledgedWithoutAStandby(t *testing.T) {
	url := fresh(t)
	before := open(t, options(t, url))
	for _, id := range []store.ID{"1", "4", "5", "6"} {
		harness.Must(t, errOf(before.Put(t.Context(), id, store.Draft{Name: "one"}, once("key of "+string(id)))))
	}
	do(t, session(t, url), "ALTER DATABASE "+database(url)+" SET synchronous_commit = on")
	s := open(t, options(t, url))
	var all sync.WaitGroup
	for name, write := range map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			return errOf(s.Put(ctx, "2", store.Draft{Name: "x"}, store.Preconditions{}))
		},
		"same content": func(ctx context.Context) error {
			return errOf(s.Put(ctx, "1", store.Draft{Name: "one"}, store.Preconditions{}))
		},
		"same by update": func(ctx context.Context) error { return errOf(s.Update(ctx, "4", store.Preconditions{}, same)) },
		"delete":         func(ctx context.Context) error { return s.Delete(ctx, "6", store.Preconditions{}) },
		"replay of a key": func(ctx context.Context) error {
			return errOf(s.Put(ctx, "1", store.Draft{Name: "one"}, once("key of 1")))
		},
		"same import": func(ctx context.Context) error {
			return errOf(s.Import(ctx, []store.Account{{ID: "5", Draft: store.Draft{Name: "one"}}}))
		},
		"import": func(ctx context.Context) error {
			return errOf(s.Import(ctx, []store.Account{{ID: "3", Draft: store.Draft{Name: "three"}}}))
		},
	} {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := write(ctx); !errors.Is(err, store.ErrOutcomeUnknown) {
				t.Errorf("%s = %v, want ErrOutcomeUnknown", name, err)
			}
		})
	}
	all.Wait()
	if acc, err := s.Get(t.Context(), "1"); err != nil || acc.Name != "one" {
		t.Errorf("Get = %+v, %v: reads wait for nothing", acc, err)
	}
}

// An operator, or a server that stops, ends the wait for a standby. The commit is done here, and nowhere else.
func TestEndedWaitForAStandbyIsNoAcknowledgement(t *testing.T) {
	for _, end := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			url := fresh(t)
			operator := session(t, url)
			do(t, operator, "ALTER DATABASE "+database(url)+" SET synchronous_commit = on")
			do(t, operator, "ALTER DATABASE "+database(url)+" SET client_min_messages = error") // without warnings
			s := open(t, options(t, url))
			written := make(chan error, 1)
			go func() { written <- errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, store.Preconditions{})) }()
			harness.Must(t, endWaits(t, operator, end, 1))
			if err := <-written; !errors.Is(err, store.ErrOutcomeUnknown) {
				t.Errorf("Put = %v, want ErrOutcomeUnknown", err)
			}
		})
	}
}

// Other warnings have the same code: of a trigger, or, for weeks, that a database must be vacuumed before its transaction
// ids run out.
func TestOtherWarningOfACommitDoesNotMakeItUnknown(t *testing.T) {
	t.Parallel()
	url := fresh(t)
	operator := session(t, url)
	do(t, operator, "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE WARNING $$hello$$; RETURN NULL; END'")
	do(t, operator, "CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "+
		"EXECUTE FUNCTION warn()")
	s := open(t, options(t, url))
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, store.Preconditions{})))
	harness.Must(t, errOf(s.Import(t.Context(), []store.Account{{ID: "2", Draft: store.Draft{Name: "two"}}})))
}

// throughProxy returns a store whose connections a proxy can cut.
func throughProxy(t *testing.T, url string) (*pgstore.Store, *harness.Proxy) {
	t.Helper()
	p := harness.NewProxy(t, server.Port)
	return open(t, options(t, strings.Replace(url, fmt.Sprint(":", server.Port), fmt.Sprint(":", p.Port), 1))), p
}

func TestWriteWithoutAKeyIsNotRepeatedWhenItsAnswerIsLost(t *testing.T) {
	url := fresh(t)
	s, proxy := throughProxy(t, url)
	for name, pre := range map[string]store.Preconditions{"put": {}, "create": {Absent: true}} {
		id := store.ID(name)
		proxy.CutAnswer("cut here")
		_, err := s.Put(t.Context(), id, store.Draft{Name: "cut here"}, pre)
		if !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("%s = %v, want ErrOutcomeUnknown", name, err)
		}
		if acc, err := s.Get(t.Context(), id); err != nil || acc.Version != 1 {
			t.Errorf("after %s: %+v, %v; want version 1", name, acc, err)
		}
	}
}

func TestWriteUnderAKeyIsDoneOnceWhenItsAnswerIsLost(t *testing.T) {
	url := fresh(t)
	s, proxy := throughProxy(t, url)
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "one"}, store.Preconditions{})))
	proxy.CutAnswer("cut here")
	w, err := s.Update(t.Context(), "1", once("key"), func(store.Account) (store.Draft, error) {
		return store.Draft{Name: "cut here"}, nil
	})
	if err != nil || string(w.Replay) != "1 2" {
		t.Errorf("Update = %+v, %v; want the answer again", w, err)
	}
	if acc, err := s.Get(t.Context(), "1"); err != nil || acc.Version != 2 {
		t.Errorf("Get = %+v, %v; want version 2", acc, err)
	}
}

// As in a failover: the answer of the first attempt is lost, and the next ones find no server.
func TestWriteUnderAKeyIsOfUnknownOutcomeWhenNoServerIsLeft(t *testing.T) {
	url := fresh(t)
	var s *pgstore.Store
	var proxy *harness.Proxy
	t.Run("with a server", func(t *testing.T) { // whose proxy takes no more connections at the end of this
		s, proxy = throughProxy(t, url)
		says(t, s, "")
	})
	s.LimitsForTest(false, 200*time.Millisecond)
	proxy.CutAnswer("cut here")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := s.Put(ctx, "1", store.Draft{Name: "cut here"}, once("key"))
	if !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("Put = %v, want ErrOutcomeUnknown", err)
	}
	if acc, err := open(t, options(t, url)).Get(t.Context(), "1"); err != nil || acc.Version != 1 {
		t.Errorf("Get = %+v, %v; want version 1", acc, err)
	}
}

func TestLostReadIsRepeated(t *testing.T) {
	url := fresh(t)
	s, proxy := throughProxy(t, url)
	harness.Must(t, errOf(s.Put(t.Context(), "some-id", store.Draft{Name: "one"}, store.Preconditions{})))
	proxy.CutAnswer("some-id")
	if acc, err := s.Get(t.Context(), "some-id"); err != nil || acc.Name != "one" {
		t.Errorf("Get = %+v, %v", acc, err)
	}
	do(t, session(t, url), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "+
		"WHERE datname = current_database() AND application_name = 'accountservice'")
	if acc, err := s.Get(t.Context(), "some-id"); err != nil || acc.Name != "one" {
		t.Errorf("Get after the end of every session = %+v, %v", acc, err)
	}
}

func TestSameKeyOnSeveralReplicasIsDoneOnce(t *testing.T) {
	url := fresh(t)
	replicas := []*pgstore.Store{open(t, options(t, url)), open(t, options(t, url)), open(t, options(t, url))}
	for round := range 20 {
		var writes, replays atomic.Int32
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				pre := once(fmt.Sprint("key ", round))
				pre.Absent = true
				id := store.ID(fmt.Sprint(round, "-", i)) // as a POST has it: one of its own
				w, err := replicas[i%3].Put(t.Context(), id, store.Draft{Name: "x"}, pre)
				switch {
				case err != nil:
					t.Errorf("Put = %v", err)
				case w.Replay == nil:
					writes.Add(1)
				default:
					replays.Add(1)
				}
			})
		}
		all.Wait()
		page, err := replicas[0].List(t.Context(), store.Query{After: store.ID(fmt.Sprint(round, "-")), Limit: 1000})
		harness.Must(t, err)
		stored := 0
		for _, acc := range page.Accounts {
			if strings.HasPrefix(string(acc.ID), fmt.Sprint(round, "-")) {
				stored++
			}
		}
		if writes.Load() != 1 || replays.Load() != 11 || stored != 1 {
			t.Errorf("%d writes, %d answers again, %d accounts", writes.Load(), replays.Load(), stored)
		}
	}
}

// A server whose default is SERIALIZABLE, as CockroachDB's is, refuses transactions that another one overtook.
func TestRefusedSerializationIsRepeated(t *testing.T) {
	url := fresh(t)
	do(t, session(t, url), "ALTER DATABASE "+database(url)+" SET default_transaction_isolation = serializable")
	s := open(t, options(t, url))
	harness.Must(t, errOf(s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{})))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				_, err := s.Update(t.Context(), "1", store.Preconditions{}, func(acc store.Account) (store.Draft, error) {
					return store.Draft{Name: acc.Name + "x"}, nil
				})
				if err != nil {
					t.Errorf("Update = %v", err)
				}
			}
		})
	}
	all.Wait()
	if acc, err := s.Get(t.Context(), "1"); err != nil || len(acc.Name) != 81 || acc.Version != 81 {
		t.Errorf("Get = %+v, %v; want 81 of both", acc, err)
	}
}
