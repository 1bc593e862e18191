package boltstore

import (
	"errors"
	"os"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// commitWrites sees each write of a commit, and makes its last flush.
type commitWrites struct {
	// began is called before the first write of a commit, and answered after each write and flush.
	began, answered func()
	inCommit        bool // after its first write

	preparing atomic.Pointer[time.Time] // since when a commit works on its pages and has written none; or nil
}

// working is for how long a commit has worked on its pages and has written none. It waits for all read transactions
// then if the file outgrows its map.
func (w *commitWrites) working() time.Duration {
	if since := w.preparing.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}

// commit is tx.Commit with what bbolt leaves out: each write calls answered, and the last flush is tried again when a
// signal interrupts it. One that interrupts an earlier flush is an error, and the transaction has changed nothing.
func (w *commitWrites) commit(tx *bbolt.Tx, f *os.File) error {
	db := tx.DB()
	noSync := db.NoSync
	defer func() { db.NoSync, w.inCommit = noSync, false }()
	w.preparing.Store(new(time.Now()))
	defer w.preparing.Store(nil)
	err := tx.Commit()
	if err == nil && !noSync {
		err = boltfile.Sync(f)
	}
	w.answered()
	return err
}

// hook puts the writes of a commit under the control of this package. bbolt keeps the function that makes them to
// itself, for its own tests. The write of a meta page is the last one; the flush behind it is left to commit.
func (w *commitWrites) hook(db *bbolt.DB) error {
	field := reflect.ValueOf(db).Elem().FieldByName("ops").FieldByName("writeAt")
	var plain func([]byte, int64) (int, error)
	if !field.IsValid() || field.Type() != reflect.TypeOf(plain) {
		return errors.New("this version of bbolt is unknown to the service: its writes cannot be watched")
	}
	metas := 2 * int64(db.Info().PageSize)
	writeAt := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	plain = *writeAt
	*writeAt = func(b []byte, off int64) (int, error) {
		if w.inCommit {
			w.answered() // or flushed
		} else {
			w.preparing.Store(nil)
			w.began()
			w.inCommit = true
		}
		n, err := plain(b, off)
		w.answered()
		if off < metas {
			db.NoSync = true
		}
		return n, err
	}
	return nil
}
