package transfer

import (
	"context"
	"io"
	"time"

	"accountservice/internal/store"
)

// pageSize is how many accounts one read of an export takes.
const pageSize = 1000

// Source is where an export reads: a store.Store is one.
type Source interface {
	// List is as in store.Store.
	List(ctx context.Context, q store.Query) (store.Page, error)
}

// Export writes all accounts of the store to w as lines, in ascending byte order
// of id, with one Write a page. The pages are read one after another, each
// within the timeout, and nothing of the store is held while w is written: what
// changes meanwhile is in the export or not.
func Export(ctx context.Context, from Source, w io.Writer, timeout time.Duration) error {
	for query := (store.Query{Limit: pageSize}); ; {
		within, cancel := context.WithTimeout(ctx, timeout)
		page, err := from.List(within, query)
		cancel()
		if err != nil {
			return err
		}
		lines, err := Encode(page.Accounts)
		if err == nil && len(lines) > 0 {
			_, err = w.Write(lines)
		}
		if err != nil || page.Next == "" {
			return err
		}
		query.After = page.Next
	}
}
