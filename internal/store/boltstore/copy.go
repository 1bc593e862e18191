package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltverify"
)

// roomOn fails if the disk of f has no room for so many bytes: to find that out by writing would take from others
// what is left.
func roomOn(f *os.File, size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &disk); err != nil {
		return err
	}
	free := int64(disk.Bavail)
	if os.Geteuid() == 0 {
		free = int64(disk.Bfree) // root may take what is kept from others
	}
	if free *= int64(disk.Bsize); free < size {
		return fmt.Errorf("its copy takes %d MiB, and %d MiB are free: %w", (size+1<<20-1)>>20, free>>20, syscall.ENOSPC)
	}
	return nil
}

// copyFile makes a copy in a new file of the folder, with mode and owner of the open one, and on its disk. On an
// error it leaves none.
func (h *handle) copyFile(dir, pattern string) (_ *os.File, err error) {
	info, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	c, err := createFor(info, dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot create a file for the copy: %w", err)
	}
	if err = c.Chmod(info.Mode().Perm()); err == nil {
		err = h.read(func(tx *bbolt.Tx) error {
			if err := roomOn(c, tx.Size()); err != nil {
				return err
			}
			_, err := tx.WriteTo(c)
			return err
		})
	}
	if err == nil {
		err = c.Sync()
	}
	if err != nil {
		c.Close()
		os.Remove(c.Name())
		return nil, err
	}
	return c, nil
}

// createFor makes a new file, of mode 0600, with the owner of the database.
func createFor(database os.FileInfo, dir, pattern string) (*os.File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err == nil {
		owner := database.Sys().(*syscall.Stat_t)
		f.Chown(int(owner.Uid), int(owner.Gid)) // works for root, who alone can need it
	}
	return f, err
}

// syncDir makes the names in a folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// intact reads every page and record of a copy, and returns how many accounts it has and its first damage.
func intact(f *os.File, transaction uint64) (accounts int, damage error) {
	report, err := boltverify.VerifyFile(context.Background(), f)
	switch {
	case len(report.Findings) > 0:
		err = fmt.Errorf("the copy is damaged: %s", report.Findings[0])
	case err == nil && report.Transaction != transaction:
		err = errForeign(report.Transaction, transaction)
	}
	return report.Accounts, err
}
