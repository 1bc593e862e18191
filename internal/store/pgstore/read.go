package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"accountservice/internal/store"
)

// A page of a list ends when this much was read, however little of it matched. GetMany has the bound in bytes, too.
const (
	maxScan      = 10_000  // rows
	maxScanBytes = 2 << 20 // of their texts
)

// bounded wraps a query for accounts in the order of ids: the result ends after maxScanBytes, but has at least one row.
// total is how many rows the inner query has.
const bounded = `SELECT ` + columns + `, total FROM (SELECT *, count(*) OVER () AS total,
  sum(` + textBytes + `) OVER (ORDER BY id) - ` + textBytes + ` AS before FROM (%s) AS found) AS counted
WHERE before <= %d ORDER BY id`

var (
	getSQL     = `SELECT ` + columns + ` FROM accounts WHERE id = $1`
	getManySQL = fmt.Sprintf(bounded, `SELECT `+columns+` FROM accounts WHERE id = ANY($1)`, maxScanBytes)
	listSQL    = fmt.Sprintf(bounded, `SELECT `+columns+` FROM accounts WHERE id > $1 ORDER BY id LIMIT $2`, maxScanBytes)
)

// Peek implements store.Store. It finds nothing: other replicas write, too, so only the server knows an account.
func (s *Store) Peek(store.ID) (*store.Encoded, bool) { return nil, false }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, id store.ID) (_ store.Account, err error) {
	defer store.Wrap("postgres get", &err)
	var found *stored
	err = s.attempt(ctx, true, nil, func(ctx context.Context, c conn) (err error) {
		found, err = get(ctx, c, id)
		return err
	})
	switch {
	case err != nil:
		return store.Account{}, err
	case found == nil:
		return store.Account{}, store.ErrNotFound
	}
	return found.Account, found.damage
}

// get returns the account with this id, or nil.
func get(ctx context.Context, c conn, id store.ID) (*stored, error) {
	list, err := read(ctx, c, nil, getSQL, []byte(id))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// read runs a query for accounts. Each row has the columns, and then what extra takes.
func read(ctx context.Context, c conn, extra []any, sql string, args ...any) (list []*stored, err error) {
	rows, err := c.query(ctx, sql, args...)
	if err != nil {
		return nil, readFailure(err)
	}
	defer rows.Close()
	for rows.Next() {
		acc, err := scan(rows, extra...)
		if err != nil {
			return nil, readFailure(err)
		}
		list = append(list, acc)
	}
	return list, readFailure(rows.Err())
}

// scan returns the account of a row, which may be nil.
func scan(rows pgx.Rows, extra ...any) (*stored, error) {
	var r row
	if err := rows.Scan(append(r.into(), extra...)...); err != nil {
		return nil, err
	}
	return r.stored(), nil
}

// GetMany implements store.Store.
func (s *Store) GetMany(ctx context.Context, ids []store.ID) (_ store.Found, err error) {
	defer store.Wrap("postgres get many", &err)
	if len(ids) > store.MaxMany {
		return store.Found{}, &store.Invalid{Field: "ids", Reason: fmt.Sprintf("must be at most %d", store.MaxMany)}
	}
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		keys[i] = []byte(id)
	}
	var list []*stored
	err = s.attempt(ctx, true, nil, func(ctx context.Context, c conn) (err error) {
		var total int64
		if list, err = read(ctx, c, []any{&total}, getManySQL, keys); err == nil && total > int64(len(list)) {
			err = store.ErrTooMuch
		}
		return err
	})
	if err != nil {
		return store.Found{}, err
	}
	found := make(map[store.ID]store.Stored, len(list))
	for _, acc := range list {
		found[acc.ID] = store.Stored{Account: acc.Account, Damage: acc.damage}
	}
	return store.InOrder(ids, found), nil
}

// List implements store.Store. Filters are applied here, by the rule that all stores share.
func (s *Store) List(ctx context.Context, q store.Query) (page store.Page, err error) {
	defer store.Wrap("postgres list", &err)
	if err := q.Validate(); err != nil {
		return page, err
	}
	most := maxScan
	if all := (store.Query{After: q.After, Limit: q.Limit}); q == all {
		most = min(q.Limit, maxScan)
	}
	err = s.attempt(ctx, true, nil, func(ctx context.Context, c conn) error {
		var total int64
		list, err := read(ctx, c, []any{&total}, listSQL, []byte(q.After), most+1)
		if err == nil {
			page = pageOf(q, list[:min(len(list), most)], total)
		}
		return err
	})
	return page, err
}

// pageOf returns the page that q makes of the next rows, of which there are total or more.
func pageOf(q store.Query, list []*stored, total int64) (page store.Page) {
	for i, acc := range list {
		switch {
		case acc.damage != nil:
			page.Damaged = append(page.Damaged, acc.ID)
		case q.Match(acc.Account):
			page.Accounts = append(page.Accounts, acc.Account)
		}
		full := len(page.Accounts)+len(page.Damaged) == q.Limit
		if (full || i == len(list)-1) && int64(i+1) < total {
			page.Next = acc.ID
		}
		if full {
			break
		}
	}
	return page
}
