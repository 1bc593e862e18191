package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// newPostgres starts a server for one test. What it is given of the environment has the service use a database.
func newPostgres(t *testing.T) (server *harness.Postgres, environ func(database string) []string) {
	t.Helper()
	harness.NeedPostgres(t)
	server = harness.NewPostgres(t)
	return server, func(database string) []string {
		return []string{"ACCOUNTSERVICE_STORE_DRIVER=postgres",
			"ACCOUNTSERVICE_STORE_POSTGRES_URL=" + strings.Replace(server.URL("postgres", database), "@", ":secret-word@", 1)}
	}
}

func TestServiceOnPostgres(t *testing.T) {
	t.Parallel()
	server, environ := newPostgres(t)
	database := server.Database(t, "template0")
	env := environ(database)

	p := start(t, newPath(t), env...)
	p.Exits(t, 1)
	p.Logs(t, "the database has no schema: run accountservice migrate up")

	migrate := func(what string) ran { t.Helper(); return runs(t, with(command(newPath(t), "migrate", what), env...)) }
	migrate("status").is(t, 1, "00001_accounts.sql: missing", "")
	migrate("up").is(t, 0, "seeded 100 accounts", "")
	server.SQL(t, database, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, true)") // a newer schema
	if up := migrate("up"); up.Code != 0 || up.Stdout != "no step is missing\n" {
		t.Errorf("migrate up again = %+v", up)
	}
	server.SQL(t, database, "DELETE FROM goose_db_version WHERE version_id = 1000")
	if status := migrate("status"); status.Code != 0 || strings.Contains(status.Stdout, "missing") {
		t.Errorf("migrate status after that = %+v", status)
	}

	path := newPath(t)
	one, two := ready(t, path, append(env, quick...)...), ready(t, path, append(env, quick...)...)
	absent(t, path)
	one.Put(t, "mine", "by one")
	two.Says(t, "/accounts/mine", "by one")
	two.Put(t, "mine", "by two")
	one.Says(t, "/accounts/mine", "by two")
	hangs(t, server, one)
	two.Await(t, "/ready", 200)
	harness.Must(t, server.Halt("immediate"))
	one.Await(t, "/ready", 503)
	one.Answers(t, "/health", 200, "")
	one.Answers(t, "/accounts/mine", 503, "/problems/unavailable")
	late := start(t, path, append(env, quick...)...)
	late.Says(t, "/health", "the server cannot be reached")
	harness.Must(t, server.Start())
	for _, p := range []*harness.Process{one, two, late} {
		p.Await(t, "/ready", 200)
		p.Says(t, "/accounts/mine", "by two")
	}
	for _, p := range []*harness.Process{one, two, late} {
		p.Stop(t, 0)
		p.NeverLogged(t, "secret-word")
	}
}

// hangs stops the server's processes, so that nothing answers and no connection ends: health is answered all the same.
func hangs(t *testing.T, server *harness.Postgres, p *harness.Process) {
	t.Helper()
	server.Signal(t, syscall.SIGSTOP)
	defer server.Signal(t, syscall.SIGCONT)
	for range 4 {
		go p.Get("/accounts/mine")
	}
	p.Says(t, "/health", "does not answer in time")
	p.Await(t, "/ready", 503)
	begun := time.Now()
	for range 50 {
		p.Answers(t, "/health", 200, "")
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("50 answers of /health took %s while the server hangs", took)
	}
}

// Accounts move to the other store and back, with all that they have.
func TestAccountsMoveBetweenStores(t *testing.T) {
	t.Parallel()
	server, environ := newPostgres(t)
	database := server.Database(t, "template0")
	env := append(environ(database), "ACCOUNTSERVICE_STORE_SEED=0")
	bolt := newPath(t)
	p := ready(t, bolt)
	p.Put(t, "10007", "changed")
	p.Put(t, "10007", "changed again")
	p.Put(t, "zoë"[:2], "Zoë \u2028 🙂")
	_, etag := harness.Ask("GET", p.URL+"/accounts/10007", "")
	p.Stop(t, 0)

	file := filepath.Join(t.TempDir(), "accounts.jsonl")
	runs(t, command(bolt, "export", "--output", file)).is(t, 0, "", "exported 101 accounts")
	runs(t, with(command(bolt, "migrate", "up"), env...)).is(t, 0, "done", "")
	server.SQL(t, database, "CREATE ROLE reader LOGIN", "GRANT SELECT ON accounts, goose_db_version, service_state TO reader")
	reader := append([]string{env[0], strings.Replace(env[1], "postgres:secret", "reader:secret", 1)}, env[2:]...)
	runs(t, with(command(bolt, "import", "--dry-run", file), reader...)).is(t, 0, "101 would be created", "")
	runs(t, with(command(bolt, "import", file), env...)).is(t, 0, "101 created, 0 replaced, 0 unchanged", "")
	runs(t, with(command(bolt, "import", file), env...)).is(t, 0, "0 created, 0 replaced, 101 unchanged", "")
	moved := ready(t, bolt, env...)
	if _, now := harness.Ask("GET", moved.URL+"/accounts/10007", ""); now != etag {
		t.Errorf("moved: %s, want %s", now, etag)
	}
	moved.Stop(t, 0)

	back, again := filepath.Join(t.TempDir(), "back.jsonl"), newPath(t)
	runs(t, with(command(bolt, "export", "--output", back), reader...)).is(t, 0, "", "exported 101 accounts")
	before := harness.Read(t, file)
	after := harness.Read(t, back)
	runs(t, command(again, "import", back)).is(t, 0, "101 created", "")
	returned := runs(t, command(again, "export"))
	if before != after || returned.Stdout != before {
		t.Errorf("the exports of Bolt, of PostgreSQL and of Bolt again differ")
	}
}
