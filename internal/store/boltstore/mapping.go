package boltstore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// current is a bbolt handle of the file, and how many of its reads are under way.
type current struct {
	db    *bbolt.DB
	dup   *os.File // bbolt's descriptor of the file
	reads *atomic.Int64
}

func (h *handle) openDB() (current, error) {
	return openDuplicate(h.file, bbolt.Options{InitialMmapSize: h.mapSize, NoStatistics: true})
}

// openDuplicate makes bbolt map an open file, by a descriptor of its own.
func openDuplicate(f *os.File, opts bbolt.Options) (c current, err error) {
	c.reads = new(atomic.Int64)
	opts.FreelistType = bbolt.FreelistMapType
	opts.OpenFile = func(string, int, os.FileMode) (_ *os.File, err error) {
		c.dup, err = boltfile.Duplicate(f)
		return c.dup, err
	}
	c.db, err = bbolt.Open(f.Name(), 0o600, &opts)
	return c, err
}

// unmap closes bbolt's handle and keeps the lock of the file, which bbolt releases through its descriptor: that one is
// closed first, so that bbolt's Close fails there, after it has unmapped the file.
func (c current) unmap() error {
	c.dup.Close() // an error, as of a flush that a signal interrupts, leaves it closed
	if err := c.db.Close(); !errors.Is(err, syscall.EBADF) {
		return fmt.Errorf("unmapping the file: %w", err)
	}
	return nil
}

// errReading: reads of a handle that was replaced are under way, and a write could use the pages that they read.
var errReading = errors.New("it waits for reads that began before the disk had no room")

// reopen makes bbolt map the file anew: what it knew of the free pages is forgotten. Reads go on, those under way on the
// old handle. If they last, reopen returns errReading, and is to be called again.
func (h *handle) reopen() error {
	if h.old == nil {
		old := h.current
		c, err := h.openDB()
		if err == nil {
			err = h.writes.hook(c.db)
		}
		if err != nil {
			return err
		}
		h.mapped.Lock()
		h.current = c
		h.mapped.Unlock()
		h.old = &old
	}
	again := time.Tick(time.Millisecond)
	for begun := time.Now(); h.old.reads.Load() > 0; <-again {
		if time.Since(begun) > maxReopen {
			return errReading
		}
	}
	old := h.old
	h.old = nil
	return old.unmap()
}

// maxReopen is how long reopen waits for reads: a short read takes less, and a write can be refused.
const maxReopen = time.Second

func (h *handle) beginRead() (tx *bbolt.Tx, end func() error, err error) {
	h.mapped.RLock()
	defer h.mapped.RUnlock()
	reads := h.reads
	if tx, err = h.db.Begin(false); err != nil {
		return nil, nil, err
	}
	reads.Add(1)
	return tx, func() error { defer reads.Add(-1); return tx.Rollback() }, nil
}
