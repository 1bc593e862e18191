package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// mapSize is the address space reserved for the map. A file that outgrows its map makes the writer wait for every
// reader, and new readers for the writer.
const mapSize = 1 << 30

// handle is the open, locked and mapped database file. A store has one, for all of its life.
type handle struct {
	openFile                  // holds the lock; bbolt has a duplicate
	disk     *boltfile.Direct // the same file, past the page cache
	memo     boltfile.Cached  // the same file, as far as it is in the page cache

	transactions

	mapped sync.RWMutex // guards current, which reopen replaces
	current
	old *current // what reopen replaced, until its reads have ended
	// stale: a commit found no room, and what bbolt knows of the free pages may be of another state than the file is in.
	// Only a start and the committer use it.
	stale bool

	writes commitWrites

	pageSize int64
	mapSize  int
	id       string // which database this is
}

// openHandle makes bbolt map f, the locked file at the path, and calls prepare. If either fails, it closes f, unless
// bbolt may hold its locks.
func openHandle(path string, f *os.File, prepare func(*handle) error) (*handle, error) {
	h := &handle{openFile: openFile{path: path, file: f}, mapSize: mapSize}
	h.disk, h.memo = boltfile.OpenDirect(f), boltfile.OpenCached(f)
	err := guard(func() (err error) {
		if h.current, err = h.openDB(); err != nil {
			return err
		}
		return cmp.Or(prepare(h), h.writes.hook(h.db))
	})
	if isFault(err) {
		// bbolt's locks may be held: the process ends without closing it
		return nil, fmt.Errorf("the database is damaged (%w); restore a backup", err)
	}
	if err != nil {
		if h.db != nil {
			h.db.Close()
		}
		h.disk.Close()
		f.Close()
		return nil, err
	}
	h.opened()
	return h, nil
}

// close waits for the reads under way.
func (h *handle) close() error {
	h.disk.Close()
	var err error
	if h.old != nil {
		err = h.old.db.Close()
	}
	err = errors.Join(err, h.db.Close())
	if errors.Is(err, syscall.EINTR) { // of the unlocking: the files are closed, which unlocks them too
		err = nil
	}
	return errors.Join(err, h.file.Close())
}

// snapshot is the database as tx sees it, read from file.
func (h *handle) snapshot(tx *bbolt.Tx, file io.ReaderAt) boltfile.Snapshot {
	root := uint64(tx.Cursor().Bucket().Root())
	return boltfile.Snapshot{File: file, PageSize: h.pageSize, Root: root, RootSum: h.rootSum(tx),
		TxID: uint64(tx.ID())}
}

// read calls f in a read transaction. It reads what that takes from file, the open file in one form or another. It
// returns a panic or memory fault as *fault, and does not clean up after one as bbolt's View does: that would wait for
// the locks that may be held.
func (h *handle) read(file io.ReaderAt, f func(*bbolt.Tx) error) error {
	return guard(func() error {
		before := h.committed.Load()
		for _, meta := range []int64{0, h.pageSize} { // which bbolt reads through the map when a transaction begins
			if _, err := file.ReadAt(make([]byte, 1), meta); err != nil {
				return fmt.Errorf("reading its meta pages: %w", err)
			}
		}
		tx, end, err := h.beginRead()
		if err != nil {
			return err
		}
		if id := uint64(tx.ID()); id < before || id > max(h.begun.Load(), h.committed.Load()) {
			err = errForeign(id, before)
		} else {
			h.publish(h.snapshot(tx, h.file))
			err = f(tx)
		}
		return errors.Join(err, end())
	})
}

// metaWritten reports whether the file has the meta page of a transaction that failed.
func (h *handle) metaWritten(txid uint64) (bool, error) {
	m, err := boltfile.InspectFile(h.file)
	if m == (boltfile.Meta{}) {
		return false, err
	}
	return m.TxID >= txid, nil
}

// resolve makes sure of what the file has after a commit that found no room: its meta page, or, because the system drops
// what it could not write, the state before. It writes a new meta page again, since after a failed fsync the system
// takes it for written, and opens the file anew. Until resolve succeeds, nothing may be written.
func (h *handle) resolve() error {
	m, err := h.inspectMended(h.file)
	if err != nil {
		return err
	}
	if m.TxID > h.committed.Load() && h.old == nil {
		if err := h.writeAgain(int64(m.TxID%2)*m.PageSize, m.PageSize); err != nil {
			return err
		}
		if m, err = h.inspectMended(h.file); err != nil { // the system may have dropped the page before it was read again
			return err
		}
	}
	if err := h.reopen(); err != nil {
		return fmt.Errorf("opening it anew: %w", err)
	}
	h.stale = false
	h.committed.Store(m.TxID)
	return nil
}

// writeAgain writes a page as it is, and waits until the disk has it.
func (h *handle) writeAgain(at, size int64) error {
	page := make([]byte, size)
	if _, err := h.file.ReadAt(page, at); err != nil {
		return err
	}
	if _, err := h.file.WriteAt(page, at); err != nil {
		return err
	}
	return h.file.Sync()
}

// begin begins the write transaction that follows the last one of this process. Any other one means that something
// else wrote into the file. It reads from file, as read does.
func (h *handle) begin(file io.ReaderAt) (*bbolt.Tx, error) {
	m, err := h.inspectMended(file)
	if err != nil {
		return nil, err
	}
	if _, err := boltfile.ReadFreelist(file, m); err != nil {
		return nil, err
	}
	h.writing.Store(h.committed.Load() + 1)
	tx, err := h.db.Begin(true)
	if err != nil {
		return nil, err
	}
	if last := h.committed.Load(); uint64(tx.ID()) != last+1 {
		return nil, errors.Join(errForeign(uint64(tx.ID())-1, last), tx.Rollback())
	}
	_, err = h.snapshot(tx, file).Bucket(boltfile.MetaBucket)
	if errors.Is(err, boltfile.ErrOtherRoot) || h.isOther(m) {
		return nil, errors.Join(boltfile.ErrOtherRoot, tx.Rollback())
	}
	return tx, nil
}

// complete inspects the file as disk reads it; boltfile.ErrOlderMeta says that nothing is lost. A commit that writes a
// meta page at this moment can be seen half done, so a fault counts when it is found three times.
func (h *handle) complete(disk io.ReaderAt) (err error) {
	for range 3 {
		committed := h.committed.Load()
		var best boltfile.Meta
		best, err = h.inspect(disk)
		if err == nil && (best.TxID < committed || best.TxID > max(h.begun.Load(), h.committed.Load())) {
			err = errForeign(best.TxID, committed)
		}
		if err == nil && h.isOther(best) {
			err = boltfile.ErrOtherRoot
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s %w", h.path, err)
}

// inspect is boltfile.Inspect of the open file, read by f, and knows which transaction is the newest.
func (h *handle) inspect(f io.ReaderAt) (boltfile.Meta, error) {
	info, err := h.file.Stat()
	if err != nil {
		return boltfile.Meta{}, err
	}
	committed := h.committed.Load()
	m, err := boltfile.Inspect(f, info.Size())
	if errors.Is(err, boltfile.ErrNewestMeta) && m.TxID >= committed {
		err = boltfile.ErrOlderMeta
	}
	return m, err
}

// inspectMended is inspect for a write, which writes a damaged older meta page anew.
func (h *handle) inspectMended(f io.ReaderAt) (boltfile.Meta, error) {
	m, err := h.inspect(f)
	if errors.Is(err, boltfile.ErrOlderMeta) {
		err = nil
	}
	return m, err
}
