package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// A page of a list ends when this much was read, however little of it matched: a read transaction keeps the pages of
// all later ones from being used anew, and what a page has is in memory at once. GetMany has the bound in bytes, too.
const (
	maxScan      = 10_000  // records
	maxScanBytes = 2 << 20 // of records
	yieldEvery   = 64      // records
)

// List implements store.Store.
func (s *Store) List(ctx context.Context, q store.Query) (_ store.Page, err error) {
	defer store.Wrap("bolt list", &err)
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	return view(ctx, s, func(accounts boltfile.Tree) (store.Page, error) { return list(accounts, q) })
}

func list(accounts boltfile.Tree, q store.Query) (page store.Page, err error) {
	var last store.ID
	scanned, size := 0, 0
	err = accounts.After([]byte(q.After), func(k, v []byte) bool {
		if len(page.Accounts)+len(page.Damaged) == q.Limit || scanned == maxScan || size > maxScanBytes {
			page.Next = last // there is one more
			return false
		}
		acc, damage := decode(k, v)
		switch {
		case damage != nil:
			page.Damaged = append(page.Damaged, acc.ID)
		case q.Match(acc):
			page.Accounts = append(page.Accounts, acc)
		}
		last = acc.ID
		if scanned++; scanned%yieldEvery == 0 {
			runtime.Gosched() // a list that matches little takes tens of milliseconds of a CPU
		}
		size += len(v)
		return true
	})
	return page, err
}

// GetMany implements store.Store.
func (s *Store) GetMany(ctx context.Context, ids []store.ID) (_ store.Found, err error) {
	defer store.Wrap("bolt get many", &err)
	get, err := getMany(ids)
	if err != nil {
		return store.Found{}, err
	}
	return view(ctx, s, get)
}

// getMany returns the function that gets the accounts of these ids from a tree.
func getMany(ids []store.ID) (get func(boltfile.Tree) (store.Found, error), err error) {
	if len(ids) > store.MaxMany {
		return nil, &store.Invalid{Field: "ids", Reason: fmt.Sprintf("must be at most %d", store.MaxMany)}
	}
	ids = slices.Clone(ids) // the caller may be gone, and change what it gave, before this is done
	keys := keysOf(ids)
	slices.SortFunc(keys, bytes.Compare) // in order of the tree, each leaf is read once
	return func(accounts boltfile.Tree) (store.Found, error) { return getAll(accounts, ids, keys) }, nil
}

// getAll returns the accounts of ids, in their order; keys are the ids, sorted.
func getAll(accounts boltfile.Tree, ids []store.ID, keys [][]byte) (store.Found, error) {
	found := make(map[store.ID]store.Stored)
	var failure error
	size := 0
	err := accounts.Each(keys, func(k, v []byte) bool {
		if size += len(v); size > maxScanBytes && len(found) > 0 {
			failure = store.ErrTooMuch
		} else {
			acc, damage := decode(k, v)
			found[acc.ID] = store.Stored{Account: acc, Damage: damage}
		}
		return failure == nil
	})
	if err := errors.Join(err, failure); err != nil {
		return store.Found{}, err
	}
	return store.InOrder(ids, found), nil
}
