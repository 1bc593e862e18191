package boltstore

import (
	"context"
	"errors"
	"os"

	"accountservice/internal/bounded"
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// Reader reads the accounts of a database that no service has open. It changes nothing, neither the file nor its
// witness, and needs no right to write. While it is open, no service can open the file. Its methods are those of
// store.Store and may be called concurrently. The zero Reader is of an empty database.
type Reader struct {
	file     *os.File
	accounts boltfile.Tree
}

// OpenReader opens the database for reading. The error is fs.ErrNotExist if there is none and Open would make it, and
// boltfile.ErrLocked if a service has it open.
func OpenReader(ctx context.Context, opts Options) (_ *Reader, err error) {
	defer store.Wrap("bolt open "+opts.Path, &err)
	l, err := newLocation(opts)
	if err == nil {
		err = l.missing(opts.MustExist)
	}
	if err != nil {
		return nil, err
	}
	return l.openReader(ctx, opts)
}

func (l location) openReader(ctx context.Context, opts Options) (_ *Reader, err error) {
	f, meta, damage, err := l.inspected(ctx, opts, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	snap := meta.Snapshot(f)
	id, damaged := identity(snap)
	if damaged != nil {
		l.log.Warn("a record of the service itself is damaged; a start makes it anew if all else is whole", "path", l.path,
			"damage", damaged)
	} else if l.compareWitness(witnessRecord{id, meta.TxID}) && damage != nil && !opts.AcceptOlderMeta {
		return nil, errNewestRefused
	}
	accounts, err := snap.Bucket(boltfile.AccountBucket)
	if errors.Is(err, boltfile.ErrNoBucket) && id == "" && damaged == nil {
		err = errOtherProgram
	}
	return &Reader{f, accounts}, err
}

// List is as in store.Store.
func (r *Reader) List(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	return bounded.Call(ctx, func() (store.Page, error) { return list(r.accounts, q) })
}

// GetMany is as in store.Store.
func (r *Reader) GetMany(ctx context.Context, ids []store.ID) (store.Found, error) {
	get, err := getMany(ids)
	if err != nil {
		return store.Found{}, err
	}
	return bounded.Call(ctx, func() (store.Found, error) { return get(r.accounts) })
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
