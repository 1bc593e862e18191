package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// Options says which file, and how to open it.
type Options struct {
	Path string
	// OpenTimeout is how long to wait for another process to let go of the file.
	OpenTimeout time.Duration
	// Waiting, if not nil, is called once if another process holds the file, with words for an operator.
	Waiting func(reason string)
	// MustExist makes a missing file an error; else it is created.
	MustExist bool
	// RescueDir is where the accounts are copied to when the file was deleted or replaced while it was open; empty is
	// the folder of Path. A copy on another file system than Path's is kept, and not put back.
	RescueDir string
	// AcceptOlderMeta opens a file whose newest meta page is damaged, and so without its last change.
	AcceptOlderMeta bool
	// Now is the clock of created_at and updated_at; nil is time.Now.
	Now func() time.Time
	// Log gets what an operator should know; nil discards it.
	Log *slog.Logger
}

// open locks, inspects and maps the file, and finds or makes its buckets.
func (l location) open(ctx context.Context, opts Options) (*handle, error) {
	f, err := openLocked(ctx, l.path, opts)
	if err != nil {
		return nil, err
	}
	l.forgetUnwritten(f)
	damage, err := acceptable(f, opts.AcceptOlderMeta)
	if err != nil {
		f.Close()
		return nil, err
	}
	return openHandle(l.path, f, func(h *handle) error {
		if err := h.prepare(); err != nil {
			return err
		}
		if l.compareWitness(h) && damage != nil && !opts.AcceptOlderMeta { // the damaged page only looks older
			return errNewestRefused
		}
		if damage != nil {
			if err := h.rewriteMeta(); err != nil {
				return err
			}
			if _, left := boltfile.InspectFile(h.file); left == nil {
				l.log.Warn("the database was damaged and is mended", "path", l.path, "damage", damage)
			}
		}
		return cmp.Or(l.writeWitness(h), l.writable())
	})
}

// writable fails if the file system has become read-only since the file was opened: by the first write after an error.
func (l location) writable() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
	if err != nil {
		return readOnly(err)
	}
	return f.Close()
}

// errNewestRefused is boltfile.ErrNewestMeta with the cure.
var errNewestRefused = fmt.Errorf("%w; restore a backup, or accept that by store.bolt.accept_older_meta",
	boltfile.ErrNewestMeta)

// acceptable inspects a file before bbolt does. It refuses what bbolt would overwrite, misread or panic on. It
// returns a damaged meta page that nothing is lost by, or whose loss is accepted, as damage.
func acceptable(f *os.File, acceptOlderMeta bool) (damage, err error) {
	best, err := boltfile.InspectFile(f)
	lossless, lossy := errors.Is(err, boltfile.ErrOlderMeta), errors.Is(err, boltfile.ErrNewestMeta)
	switch {
	case err != nil && !lossless && !lossy:
		return nil, err
	case best.Freelist == boltfile.NoFreelist: // never of a file of ours or of the tutorial; bbolt would write one
		return nil, errOtherProgram
	case lossy && !acceptOlderMeta:
		return nil, errNewestRefused
	}
	return err, nil
}

// create makes a new database at the path if nothing is there and that is allowed. The file appears at the path
// whole, or not at all: a crash on the way leaves no empty file that a later start must take for a lost database.
func (l location) create(mustExist bool) error {
	_, err := os.Stat(l.path)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case mustExist:
		return errors.New("no such file, and store.bolt.create is never; check the path and that its volume is mounted")
	}
	_, err = os.Lstat(witness(l.path))
	switch copies := strings.Join(l.copies(), ", "); {
	case !errors.Is(err, fs.ErrNotExist) && copies == "":
		return fmt.Errorf("the file is gone, and %s says that there was one; restore a backup, "+
			"or remove %[1]s to begin with a new database", witness(l.path))
	case copies != "":
		return fmt.Errorf("the file is gone; a copy that was rescued (%s) is there: verify it and put it at the path, "+
			"or remove it and %s to begin with a new database", copies, witness(l.path))
	}
	dir := filepath.Dir(l.path)
	tmp, err := os.CreateTemp(dir, l.temporary("new-"))
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder; check store.bolt.path, "+
			"and that its volume is mounted and writable: %w", err)
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
	err = os.Link(tmp.Name(), l.path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) {
		err = os.Rename(tmp.Name(), l.path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
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
		return nil, fmt.Errorf("no permission: give the file to user %d, "+
			"or let that user read and write it (it has mode %s): %w", os.Geteuid(), info.Mode(), err)
	}
	if err != nil {
		return nil, readOnly(err)
	}
	if err := lock(ctx, f, opts); err != nil {
		f.Close()
		return nil, err
	}
	// the process that held it may have put another file at the path
	open, err := f.Stat()
	if there, gone := os.Stat(path); err != nil || gone != nil || !os.SameFile(open, there) {
		f.Close()
		return nil, cmp.Or(err, gone, errors.New("another file was put there while it was opened; start again"))
	}
	return f, nil
}

// readOnly adds the cure to an error of opening a file for writing.
func readOnly(err error) error {
	if !errors.Is(err, syscall.EROFS) {
		return err
	}
	return fmt.Errorf("its file system is read-only; remount it for writing, and look for disk errors in the kernel's log: %w", err)
}

// lock takes bbolt's own lock of f (flock, exclusive) before bbolt does, so that the file can be inspected while no
// other process writes it.
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
			waiting(fmt.Sprintf("another process holds %s locked; waiting up to %s for it; %s",
				opts.Path, opts.OpenTimeout, onlyOne))
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

// forgetUnwritten drops the page cache if it holds a newer meta page than the disk. That commit was answered
// ErrOutcomeUnknown; building on it would be unsafe.
func (l location) forgetUnwritten(f *os.File) {
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
	l.log.Warn("the disk did not take the last commit of the database: it goes on without that", "path", l.path,
		"transaction", there.TxID, "not_written", known.TxID, "err", err)
}
