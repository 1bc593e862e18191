package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// facts are what a server says of itself and of the database.
type facts struct {
	pooled   bool // the connection leads to a pooler, which gives each transaction another session
	standby  bool
	readOnly bool
	encoding string
	commit   string // synchronous_commit
	standbys string // synchronous_standby_names
	schema   int64  // 0 if there is none
	oldest   int64  // the oldest schema whose binaries can use the database
	denied   bool   // the user may not read the schema's version
	limited  bool   // the user lacks a right on accounts or idempotency
}

// ask reads the facts, in one round trip, and sets the session's statement_timeout and lets the server send its warnings,
// unless the session is a pooler's.
func ask(ctx context.Context, c *pgconn.PgConn, statementTimeout time.Duration) (facts, error) {
	results, err := c.Exec(ctx, fmt.Sprintf(`SELECT pg_backend_pid() <> %d, pg_is_in_recovery(),
  current_setting('transaction_read_only') <> 'off', current_setting('server_encoding'),
  coalesce(current_setting('synchronous_commit', true), ''),
  coalesce(current_setting('synchronous_standby_names', true), ''),
  CASE WHEN pg_backend_pid() = %[1]d THEN set_config('statement_timeout', '%dms', false) ||
    set_config('client_min_messages', 'warning', false) END;
SELECT (SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied), oldest_schema,
  (SELECT bool_and(has_table_privilege(t, p)) FROM unnest(ARRAY['accounts', 'idempotency']) AS t,
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p)
  FROM service_state WHERE id = 1`, c.PID(), statementTimeout.Milliseconds())).ReadAll()
	if len(results) == 0 || len(results[0].Rows) != 1 {
		return facts{}, cmp.Or(err, errors.New("the server does not answer as PostgreSQL does"))
	}
	row := results[0].Rows[0]
	f := facts{pooled: string(row[0]) == "t", standby: string(row[1]) == "t", readOnly: string(row[2]) == "t",
		encoding: string(row[3]), commit: string(row[4]), standbys: string(row[5])}
	switch {
	case err != nil && !hasCode(err, undefinedTable, noPrivilege):
		return facts{}, err
	case err != nil && hasCode(err, noPrivilege):
		f.denied = true
	case err == nil && len(results) == 2 && len(results[1].Rows) == 1:
		f.schema, _ = strconv.ParseInt(string(results[1].Rows[0][0]), 10, 64)
		f.oldest, _ = strconv.ParseInt(string(results[1].Rows[0][1]), 10, 64)
		f.limited = string(results[1].Rows[0][2]) != "t"
	}
	return f, nil
}

// demands are what a store wants of its server.
type demands struct{ requireSync, onlyRead bool }

// refuse returns nil or why a server with these facts is not used.
func (d demands) refuse(f facts) error {
	switch {
	case f.standby:
		return &refusal{why: "connected to a standby: it accepts no writes; name the primary, or all hosts, in " +
			"store.postgres.url"}
	case f.readOnly:
		return &refusal{why: "the server is read-only (transaction_read_only is on)"}
	case f.encoding != "UTF8":
		return &refusal{"the database has another encoding than UTF8: create it with ENCODING 'UTF8'", true}
	case f.denied || f.limited && !d.onlyRead:
		return &refusal{"the user lacks a right on a table: grant it those of docs/postgres.md (42501)", true}
	case f.schema == 0:
		return &refusal{"the database has no schema: run accountservice migrate up", true}
	case f.schema < schemaVersion:
		return &refusal{fmt.Sprintf("the database has schema %d, and this version needs %d: run accountservice migrate up",
			f.schema, schemaVersion), true}
	case f.oldest > schemaVersion:
		return &refusal{fmt.Sprintf("the database has schema %d, which only versions for schema %d or later can use, and "+
			"this one is for %d: run a newer version", f.schema, f.oldest, schemaVersion), true}
	}
	if why := syncRefusal(f.commit, f.standbys); d.requireSync && why != "" {
		return &refusal{"store.postgres.require_sync: " + why, why != patroniWaits}
	}
	return nil
}

// writable lets pgx go on to the next host if this server accepts no writes.
func writable(ctx context.Context, c *pgconn.PgConn) error {
	f, err := ask(ctx, c, time.Minute)
	switch {
	case err != nil:
		return err
	case f.standby || f.readOnly || f.encoding != "UTF8":
		return demands{}.refuse(f)
	}
	return nil
}
