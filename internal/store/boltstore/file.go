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
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// lockRetry is how often a file that another process holds is asked again.
const lockRetry = 50 * time.Millisecond

// onlyOne is the cure for a file that two processes want.
const onlyOne = "let only one run at a time (in a Swarm: one replica, and stop-first for updates and rollbacks)"

// errReplaced: what is at the path is not, or no longer, the open file.
// Everything written from then on would be lost with the process.
var errReplaced = errors.New("the open database is no longer the file at its path")

// create makes a new database at s.path if nothing is there and that is
// allowed. The file appears at the path whole, or not at all: a crash on the
// way leaves no empty file that a later start must take for a lost database.
func (s *Store) create(mustExist bool) error {
	_, err := os.Stat(s.path)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case mustExist:
		return errors.New("no such file, and store.bolt.create is never; check the path and that its volume is mounted")
	}
	if _, err := os.Lstat(witness(s.path)); !errors.Is(err, fs.ErrNotExist) {
		backup := "a backup"
		if copies := s.copies(); len(copies) > 0 {
			backup += fmt.Sprintf(" or a copy that was rescued (%s)", strings.Join(copies, ", "))
		}
		return fmt.Errorf("the file is gone, and %s says that there was one; restore %s, or remove that file too to begin anew", witness(s.path), backup)
	}
	dir := filepath.Dir(s.path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(s.path)+".new-*")
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder; check store.bolt.path, and that its volume is mounted and writable: %w", err)
	}
	tmp.Close()
	defer os.Remove(tmp.Name())
	db, err := bbolt.Open(tmp.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(makeBuckets), db.Close()); err != nil {
		return err
	}
	// link, unlike rename, never puts it over a file that came meanwhile
	err = os.Link(tmp.Name(), s.path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openLocked opens an existing file and waits until no other process holds it.
func openLocked(ctx context.Context, path string, opts Options) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is no regular file (%s); check store.bolt.path", info.Mode())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("no permission: give the file to user %d, or let that user read and write it (it has mode %s): %w", os.Geteuid(), info.Mode(), err)
	}
	if errors.Is(err, syscall.EROFS) {
		return nil, fmt.Errorf("its file system is read-only; remount it for writing, and look for disk errors in the kernel's log: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, f, opts); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock takes bbolt's own lock of f (flock, exclusive) before bbolt does, to
// look at the file while nobody writes it.
func lock(ctx context.Context, f *os.File, opts Options) error {
	waiting := opts.Waiting
	patience := time.NewTimer(opts.OpenTimeout)
	defer patience.Stop()
	again := time.NewTicker(lockRetry)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if waiting != nil {
			waiting(fmt.Sprintf("another process holds %s locked; waiting up to %s for it; %s", opts.Path, opts.OpenTimeout, onlyOne))
			waiting = nil
		}
		select {
		case <-again.C:
		case <-patience.C:
			return fmt.Errorf("another process has held it locked for %s; %s", opts.OpenTimeout, onlyOne)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the process that holds it: %w", ctx.Err())
		}
	}
}

// forgetUnwritten makes the system forget a last commit that it has in memory and
// the disk has not: its meta page could not be written, whoever made it was told
// that nobody knows, and on what follows it nobody could rely.
func (s *Store) forgetUnwritten(f *os.File) {
	info, err := f.Stat()
	if err != nil {
		return
	}
	disk := boltfile.OpenDirect(f)
	defer disk.Close()
	there, err := boltfile.Inspect(disk, info.Size())
	known, _ := boltfile.Inspect(f, info.Size())
	if err != nil || there.TxID >= known.TxID {
		return
	}
	err = boltfile.DropCache(f)
	s.log.Warn("the disk did not take the last commit of the database: it goes on without that", "path", s.path,
		"transaction", there.TxID, "not_written", known.TxID, "err", err)
}

// unlisted refuses a database without a list of free pages if it is not ours:
// bbolt writes one when it opens it.
func unlisted(f *os.File, m boltfile.Meta) error {
	if m.Freelist != boltfile.NoFreelist {
		return nil
	}
	if _, err := m.Snapshot(f).Bucket(boltfile.AccountBucket); err != nil {
		return errors.New("is another program's database; check store.bolt.path")
	}
	return nil
}

// identity says whether the open file is still the one at its path.
func (s *Store) identity(h *handle) error {
	open, err := h.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s was deleted or moved away", errReplaced, s.path)
	case err != nil:
		return err
	case !os.SameFile(open, there):
		return fmt.Errorf("%w: another file was put at %s", errReplaced, s.path)
	case h.deleted(open):
		return fmt.Errorf("%w: %s is mounted alone, and was deleted or replaced where it comes from; mount its folder instead", errReplaced, s.path)
	}
	return nil
}
