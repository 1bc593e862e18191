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

// Pages reads all accounts of a store as lines, in ascending byte order of id. A damaged one is a line that names it.
// The pages are read one after another, each within the timeout, and nothing of the store is held between them: what
// changes meanwhile is in them or not.
type Pages struct {
	from    Source
	timeout time.Duration
	query   store.Query
	last    bool // was read
}

// NewPages returns the pages of this store, before the first.
func NewPages(from Source, timeout time.Duration) *Pages {
	return &Pages{from: from, timeout: timeout, query: store.Query{Limit: pageSize}}
}

// Next returns the lines of the next page, which may be none, or io.EOF after the last.
func (p *Pages) Next(ctx context.Context) ([]byte, error) {
	if p.last {
		return nil, io.EOF
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	page, err := p.from.List(ctx, p.query)
	if err != nil {
		return nil, err
	}
	p.query.After, p.last = page.Next, page.Next == ""
	return encodePage(page)
}

// Export writes all Pages of the store to w, with one Write a page.
func Export(ctx context.Context, from Source, w io.Writer, timeout time.Duration) error {
	for pages := NewPages(from, timeout); ; {
		lines, err := pages.Next(ctx)
		if err == io.EOF { // itself: a store may have met the end of its file
			return nil
		}
		if err == nil && len(lines) > 0 {
			_, err = w.Write(lines)
		}
		if err != nil {
			return err
		}
	}
}
