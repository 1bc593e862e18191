package pgstore

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
)

const (
	oldSQL   = `SELECT ` + columns + ` FROM accounts WHERE id = ANY($1) ORDER BY id`
	touchSQL = `UPDATE accounts SET revision = revision WHERE id = $1 AND revision = $2`
)

// Import implements store.Store.
func (s *Store) Import(ctx context.Context, accounts []store.Account) (_ store.Imported, err error) {
	defer store.Wrap("postgres import", &err)
	in, err := store.Importable(accounts) // in the order of ids: two imports wait for each other and do not deadlock
	if err != nil {
		return store.Imported{}, err
	}
	if len(in) == 0 {
		return store.Imported{}, ctx.Err()
	}
	var done store.Imported
	err = s.attempt(ctx, false, s.writes, func(ctx context.Context, c conn) (err error) {
		done, err = s.importOnce(ctx, c, in)
		return err
	})
	if err != nil {
		return store.Imported{}, err
	}
	s.full.Store(nil)
	return done, nil
}

// importOnce reads what is stored, and writes what differs, in one transaction. If nothing differs it writes one row
// again: the commit tells that what was read is durable.
func (s *Store) importOnce(ctx context.Context, c conn, in []store.Account) (done store.Imported, err error) {
	err = inTransaction(ctx, c, func(tx conn) error {
		var all []store.ImportChange
		var was map[store.ID]string
		if all, was, done, err = s.compare(ctx, tx, in); err != nil {
			return err
		}
		if same := in[0].ID; done.Created+done.Replaced == 0 {
			return changes(ctx, tx, 1, touchSQL, []byte(same), was[same])
		}
		var created, replaced batch
		for _, c := range all {
			switch {
			case !c.Changed:
			case c.Replaces:
				replaced.add(c.Account, was[c.ID])
			default:
				created.add(c.Account, "")
			}
		}
		if err := created.write(ctx, tx, insertAllSQL, created.arguments()); err != nil {
			return err
		}
		return replaced.write(ctx, tx, updateAllSQL, append(replaced.arguments(), replaced.was))
	})
	return done, err
}

// compare returns what becomes of the accounts of an import, and the revisions of their rows. It keeps one row at a time:
// all of them can be a thousand times as long as the import.
func (s *Store) compare(ctx context.Context, c conn, in []store.Account) (all []store.ImportChange,
	was map[store.ID]string, done store.Imported, err error) {
	ids := make([][]byte, len(in))
	for i, acc := range in {
		ids[i] = []byte(acc.ID)
	}
	rows, err := c.query(ctx, oldSQL, ids)
	if err != nil {
		return nil, nil, done, readFailure(err)
	}
	defer rows.Close()
	was = make(map[store.ID]string)
	row := &stored{} // the last one that was read
	all, done = store.ImportChanges(in, s.now(), func(id store.ID) (*store.Account, bool) {
		for err == nil && row.ID < id && rows.Next() {
			row, err = scan(rows)
		}
		if err != nil || row.ID != id {
			return nil, false
		}
		was[id] = row.revision
		if row.damage != nil {
			return nil, true
		}
		return &row.Account, false
	})
	rows.Close()
	return all, was, done, readFailure(cmp.Or(err, rows.Err()))
}

func (b *batch) write(ctx context.Context, tx conn, sql string, args []any) error {
	if len(b.ids) == 0 {
		return nil
	}
	return changes(ctx, tx, len(b.ids), sql, args...)
}

// changes runs a statement in a transaction that must change this number of rows. If not, the error is errLost.
func changes(ctx context.Context, tx conn, rows int, sql string, args ...any) error {
	changed, err := tx.exec(ctx, sql, args...)
	if err != nil {
		return readFailure(err)
	}
	if changed != int64(rows) {
		return errLost
	}
	return nil
}

func inTransaction(ctx context.Context, c conn, f func(conn) error) error {
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return readFailure(err)
	}
	if err := f(c); err != nil {
		tx.Rollback(ctx)
		return err
	}
	return c.committing(ctx, tx.Commit)
}
