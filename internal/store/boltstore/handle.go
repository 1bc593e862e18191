package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// handle is one open, locked and mapped database file. A store has one at a
// time, and another one after its file was deleted and put back.
type handle struct {
	db   *bbolt.DB
	file *os.File        // bbolt's own, to ask what became of it
	disk boltfile.Direct // the same file, past the page cache

	pageSize  int64
	id        string        // which database this is
	committed atomic.Uint64 // the last transaction
	hasName   bool          // when it was opened: there are file systems that never say so

	users   sync.RWMutex // held for reading by whoever holds the handle
	closing sync.Once
}

// handle is the one of this moment. Only the committer, which changes it, may
// use it so; everybody else holds it.
func (s *Store) handle() *handle { return s.current.Load() }

// hold returns the handle of this moment, which stays open until it is released.
func (s *Store) hold() (*handle, error) {
	for {
		h := s.current.Load()
		if h.users.TryRLock() {
			return h, nil
		}
		if s.current.Load() == h { // it is being closed, and no other follows
			return nil, fmt.Errorf("%w: it is closed", store.ErrUnavailable)
		}
	}
}

func (h *handle) release() { h.users.RUnlock() }

// open has bbolt map the locked file that openFile returns, calls prepare, and
// closes it all again if that fails.
func (h *handle) open(path string, openFile func() (*os.File, error), prepare func() error) error {
	err := guard(func() (err error) {
		h.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			OpenFile: func(string, int, os.FileMode) (f *os.File, err error) {
				h.file, err = openFile()
				return h.file, err
			},
			InitialMmapSize: mapSize,
			FreelistType:    bbolt.FreelistMapType,
			NoStatistics:    true,
		})
		if err != nil {
			return err
		}
		return prepare()
	})
	var fault *fault
	if errors.As(err, &fault) {
		// bbolt's locks may be held: the process ends without closing it
		return fmt.Errorf("the database is damaged (%w); restore a backup", err)
	}
	if err != nil {
		if h.db != nil {
			h.db.Close()
		}
		return err
	}
	h.disk = boltfile.OpenDirect(h.file)
	if info, err := h.file.Stat(); err == nil {
		h.hasName = links(info) > 0
	}
	return nil
}

// deleted says whether the open file has lost its last name, whatever its path
// leads to: that can be a mount of this one file, whose original is gone.
func (h *handle) deleted(open fs.FileInfo) bool { return h.hasName && links(open) == 0 }

func links(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// close waits for those who hold the handle, and closes it.
func (h *handle) close() (err error) {
	h.closing.Do(func() {
		h.users.Lock() // for ever: nobody is to use it any more
		h.disk.Close()
		err = h.db.Close()
	})
	return err
}

// change makes next the handle and closes the one before when its last reader
// has ended, which nobody waits for but Close. It is called by the committer.
func (s *Store) change(next *handle) {
	old := s.current.Swap(next)
	s.retired.Go(func() {
		if err := old.close(); err != nil {
			s.log.Error("closing the deleted database file", "path", s.path, "err", err)
		}
	})
}

// snapshot is the database as tx sees it.
func (h *handle) snapshot(tx *bbolt.Tx) boltfile.Snapshot {
	return boltfile.NewSnapshot(h.file, h.pageSize, uint64(tx.Cursor().Bucket().Root()))
}
