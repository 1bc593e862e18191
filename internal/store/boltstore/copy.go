package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/tempfile"
)

// fileCopy is a copy of the open database.
type fileCopy struct {
	*os.File
	txid   uint64
	unread error // names the pages that could not be read and are empty in the copy
}

func (c *fileCopy) discard() {
	c.Close()
	os.Remove(c.Name())
}

// copyFile makes a copy in a new file of the folder, with mode and owner of the open one, and on its disk. On an
// error it leaves none.
func (h *handle) copyFile(dir, pattern string) (*fileCopy, error) {
	info, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	f, err := tempfile.Create(dir, pattern, info)
	if err != nil {
		return nil, fmt.Errorf("cannot create a file for the copy: %w", err)
	}
	c := &fileCopy{File: f}
	if err = c.Chmod(info.Mode().Perm()); err == nil {
		err = h.read(h.file, func(tx *bbolt.Tx) error {
			c.txid = uint64(tx.ID())
			if err := tempfile.CheckRoom(f, tx.Size()); err != nil {
				return err
			}
			m, err := boltfile.ReadMetas(h.file).Newest()
			if m.TxID != c.txid {
				return errors.Join(err, errForeign(m.TxID, c.txid))
			}
			if err := boltfile.WriteMetas(f, m); err != nil {
				return err
			}
			return h.copyPages(tx.Size(), c)
		})
	}
	if err == nil {
		err = c.Sync()
	}
	if err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

// copyPages copies all pages behind the meta pages. A page that cannot be read stays empty: the others may be the last
// of their kind.
func (h *handle) copyPages(size int64, c *fileCopy) error {
	var unread []string
	var cause error
	b := make([]byte, copyStep)
	for at := 2 * h.pageSize; at < size; {
		n, err := h.file.ReadAt(b[:min(copyStep, size-at)], at)
		if n -= n % int(h.pageSize); n == 0 && err != nil {
			if _, err = h.file.ReadAt(b[:h.pageSize], at); err != nil {
				unread, cause = append(unread, fmt.Sprint(at/h.pageSize)), err
				clear(b[:h.pageSize])
			}
			n = int(h.pageSize)
		}
		if _, err := c.WriteAt(b[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if more := len(unread) - maxUnread; more > 0 {
		unread = append(unread[:maxUnread], fmt.Sprintf("%d more", more))
	}
	if cause != nil {
		c.unread = fmt.Errorf("pages that cannot be read: %s: %w", strings.Join(unread, ", "), cause)
	}
	return nil
}

const (
	copyStep  = 64 << 10 // bytes read at once: a multiple of every size of a page
	maxUnread = 20       // pages that are named
)

// putAt gives a file the name path, never one that is taken, and makes it last. Its old name may be gone then.
func putAt(name, path string) error {
	if err := link(name, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// link is putAt, but for a loss of power.
func link(name, path string) error {
	err := os.Link(name, path)
	// a file system without hard links, or one of several (mergerfs) that has the folder on another one
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EXDEV) {
		if _, taken := os.Lstat(path); errors.Is(taken, fs.ErrNotExist) {
			err = os.Rename(name, path)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("another file is there: %w", errors.Unwrap(err))
	case errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("store.bolt.rescue_dir is on another file system: %w", errors.Unwrap(err))
	}
	return err
}

// syncDir makes the names in a folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(tempfile.SyncFolder(d), d.Close())
}

// judge reads every page and record of a copy, and returns how many accounts it has and its first damage. A start can
// serve it with damage that costs some accounts and no more: later writes harm nothing.
func (c *fileCopy) judge() (accounts int, damage error, servable bool) {
	report, err := boltverify.VerifyFile(context.Background(), c.File)
	switch {
	case err != nil:
		return 0, err, false
	case report.Transaction != c.txid:
		return report.Accounts, errForeign(report.Transaction, c.txid), false
	case report.Intact:
		return report.Accounts, nil, true
	}
	damage = fmt.Errorf("the copy is damaged: %s", report.Findings[0])
	if c.unread != nil {
		damage = c.unread
	}
	return report.Accounts, damage, !report.Unsafe && startable(c.File) == nil
}
