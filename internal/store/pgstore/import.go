package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
)

const (
	oldSQL   = `SELECT ` + columns + ` FROM accounts WHERE id = ANY($1)`
	touchSQL = `UPDATE accounts SET revision = revision WHERE id = $1 AND revision = $2`
)

// Import implements store.Store.
func (s *Store) Import(ctx context.Context, accounts []store.Account) (_ store.Imported, err error) {
	defer wrap("import", &err)
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
		old, err := oldOf(ctx, tx, in)
		if err != nil {
			return err
		}
		var all []store.ImportChange
		all, done = store.ImportChanges(in, s.now(), func(id store.ID) (*store.Account, bool) {
			acc, damage := old[id].account()
			if damage != nil {
				return nil, true
			}
			return acc, false
		})
		if done.Created+done.Replaced == 0 {
			same := old[in[0].ID]
			return changes(ctx, tx, 1, touchSQL, []byte(same.ID), same.revision)
		}
		var created, replaced batch
		for _, c := range all {
			switch {
			case !c.Changed:
			case c.Replaces:
				replaced.add(c.Account, old[c.ID].revision)
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

func oldOf(ctx context.Context, c conn, in []store.Account) (map[store.ID]*stored, error) {
	ids := make([][]byte, len(in))
	for i, acc := range in {
		ids[i] = []byte(acc.ID)
	}
	list, err := read(ctx, c, nil, oldSQL, ids)
	old := make(map[store.ID]*stored, len(list))
	for _, acc := range list {
		old[acc.ID] = acc
	}
	return old, err
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

// inTransaction commits what f does, or nothing.
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
