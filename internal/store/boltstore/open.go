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
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/tempfile"
)

// onlyOne is the cure for a file that two processes want.
const onlyOne = "let only one run at a time (in a Swarm: one replica, and stop-first for updates and rollbacks)"

// ErrLocked: another process has the database open.
var ErrLocked = boltfile.ErrLocked

// ErrGone: there was a database at the path, and no file is there now.
var ErrGone = errors.New("the file is gone")

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
	// SlowAfter is how long the disk may take to answer until CheckLatency fails, and HungAfter until it is taken to
	// hang; 0 is 3 s and 10 s. HungAfter is the longer one.
	SlowAfter, HungAfter time.Duration
	// CheckTimeout is the timeout of Check and CheckRecords, which answer in half of it; 0 is 1 s.
	CheckTimeout time.Duration
	// WriteCanary has Check commit a record that never changes when nothing was written for 30 s.
	WriteCanary bool
	// Now is the clock of created_at and updated_at; nil is time.Now.
	Now func() time.Time
	// Log gets what an operator should know; nil discards it.
	Log *slog.Logger
}

// open locks, inspects and maps the file, and finds or makes its buckets.
func (l location) open(ctx context.Context, opts Options) (h *handle, newer []newerCopy, err error) {
	f, _, damage, err := l.inspected(ctx, opts, os.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	h, err = openHandle(l.path, f, func(h *handle) error {
		h.disk.OnRefusal = func(err error) {
			l.log.Warn("the file system refuses reads past the page cache: faults of the disk under cached pages are not seen",
				"path", l.path, "err", err)
		}
		known, _ := readWitness(l.path)
		mended, err := h.prepare(ctx, known.id)
		if err != nil {
			return err
		}
		if mended != nil {
			l.log.Warn("records of the service itself were damaged and are made anew; no account is concerned",
				"path", l.path, "damage", mended)
		}
		here := witnessRecord{h.id, h.committed.Load()}
		if l.compareWitness(here) && damage != nil && !opts.AcceptOlderMeta { // the damaged page only looks older
			return errNewestRefused
		}
		if damage != nil { // the commit writes the meta page anew
			if err := h.update(makeBuckets); err != nil {
				return err
			}
			if _, left := boltfile.InspectFile(h.file); left == nil {
				l.log.Warn("the database was damaged and is mended", "path", l.path, "damage", damage)
			}
		}
		if newer, err = l.findNewer(h); err != nil {
			return err
		}
		if err := h.complete(h.disk); err != nil && !errors.Is(err, boltfile.ErrOlderMeta) {
			return err // the page cache may have all that was read by now of a disk that answers nothing
		}
		return cmp.Or(l.writeWitness(h), l.writable())
	})
	return h, newer, err
}

// inspected opens, locks and inspects the file for how: os.O_RDWR, or os.O_RDONLY with a lock that readers share. meta
// is what the database is read by.
func (l location) inspected(ctx context.Context, opts Options, how int) (f *os.File, meta boltfile.Meta,
	damage, err error) {
	f, err = openLocked(ctx, l.path, opts, how)
	_, irregular := errors.AsType[boltfile.Irregular](err)
	if file, is := errors.AsType[*fs.PathError](err); irregular || is && file.Op == "open" {
		err = fmt.Errorf("%w; check store.bolt.path", err)
	}
	if err != nil {
		return nil, meta, nil, err
	}
	l.forgetUnwritten(f)
	if meta, damage, err = acceptable(f, opts.AcceptOlderMeta); err == nil {
		err = l.checkFreelist(ctx, f, meta, how == os.O_RDWR)
	}
	if err != nil {
		f.Close()
		return nil, meta, nil, err
	}
	return f, meta, damage, nil
}

// checkFreelist refuses a database whose list of free pages is not the pages that no tree uses. One that is damaged
// alone is written anew if write is true.
func (l location) checkFreelist(ctx context.Context, f *os.File, m boltfile.Meta, write bool) error {
	wrong, err := boltverify.CheckFreelist(ctx, f, m, write)
	if err == nil && wrong != nil {
		l.log.Warn("the list of free pages is damaged, and nothing else; a start writes it anew",
			"path", l.path, "damage", wrong.String())
	}
	return err
}

// writable fails if the file system has become read-only since the file was opened: by the first write after an error.
func (l location) writable() error {
	f, err := boltfile.Open(l.path, os.O_WRONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return readOnly(err)
	}
	return f.Close()
}

// errNewestRefused is boltfile.ErrNewestMeta with the cure.
var errNewestRefused = fmt.Errorf("%w; restore a backup, or accept that by store.bolt.accept_older_meta",
	boltfile.ErrNewestMeta)

// acceptable inspects a file before bbolt does. It refuses what bbolt would overwrite, misread or panic on. It returns
// a damaged meta page that nothing is lost by, or whose loss is accepted, as damage.
func acceptable(f *os.File, acceptOlderMeta bool) (best boltfile.Meta, damage, err error) {
	best, err = boltfile.InspectFile(f)
	lossless, lossy := errors.Is(err, boltfile.ErrOlderMeta), errors.Is(err, boltfile.ErrNewestMeta)
	switch {
	case err != nil && !lossless && !lossy:
		return best, nil, err
	case best.Freelist == boltfile.NoFreelist: // never of a file of ours or of the tutorial; bbolt would write one
		return best, nil, errOtherProgram
	case lossy && !acceptOlderMeta:
		return best, nil, errNewestRefused
	}
	return best, err, nil
}

// missing is nil if something is at the path, fs.ErrNotExist if a new database may be made there, and else why not.
func (l location) missing(mustExist bool) error {
	_, err := os.Lstat(l.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, noWitness := os.Lstat(witness(l.path))
	switch copies := strings.Join(l.copies(), ", "); {
	case !errors.Is(noWitness, fs.ErrNotExist) && copies == "":
		return fmt.Errorf("%w, and %s says that there was one; restore a backup (accountservice restore), "+
			"or remove %[2]s to begin with a new database", ErrGone, witness(l.path))
	case copies != "":
		return fmt.Errorf("%w; a copy that was rescued (%s) is there: verify it and put it at the path, "+
			"or remove it and %s to begin with a new database", ErrGone, copies, witness(l.path))
	case mustExist:
		return errors.New("no such file, and store.bolt.create lets none be made; check the path and that its volume is mounted")
	}
	return fmt.Errorf("%w; check store.bolt.path", err)
}

// create makes a new database at the path if nothing is there and that is allowed. The file appears at the path whole,
// or not at all: a crash on the way leaves no empty file that a later start must take for a lost database.
func (l location) create(mustExist bool) error {
	if err := l.missing(mustExist); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(l.path)
	folder, err := os.Stat(dir)
	var tmp *os.File
	if err == nil {
		tmp, err = tempfile.Create(dir, l.temporary(kindNew), folder)
	}
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder; check store.bolt.path, "+
			"and that its volume is mounted and writable: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := boltfile.Lock(context.Background(), tmp, syscall.LOCK_EX, time.Second, nil); err != nil {
		tmp.Close()
		return err
	}
	// bbolt gets the open file: what is at its name by now may be another one
	db, err := bbolt.Open(tmp.Name(), 0o600, &bbolt.Options{
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return tmp, nil },
	})
	if err != nil {
		return err
	}
	if err = db.Update(makeBuckets); err == nil {
		err = putAt(tmp.Name(), l.path)
	}
	if errors.Is(err, fs.ErrExist) { // what came meanwhile is opened
		err = nil
	}
	return errors.Join(err, db.Close())
}

// openLocked opens an existing file and waits until no other process holds it. It follows no link: in a folder that
// others may write, they decide where it leads.
func openLocked(ctx context.Context, path string, opts Options, how int) (*os.File, error) {
	f, err := boltfile.Open(path, how|syscall.O_NOFOLLOW)
	switch {
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("no permission: give the file to user %d, or let that user read it and, to serve it, "+
			"write it: %w", os.Geteuid(), err)
	case err != nil:
		return nil, readOnly(err)
	}
	if err := lock(ctx, f, opts, how); err != nil {
		f.Close()
		return nil, err
	}
	if err := stillAt(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stillAt is nil if f, which was opened at path and locked, is there: the process that held it may have put another file
// at the path.
func stillAt(f *os.File, path string) error {
	open, err := f.Stat()
	there, gone := os.Lstat(path)
	if err != nil || gone != nil || !os.SameFile(open, there) {
		return cmp.Or(err, gone, errors.New("another file was put there while it was opened; start again"))
	}
	return nil
}

// readOnly adds the cure to an error of opening a file for writing.
func readOnly(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("its file system is read-only; remount it for writing, and look for disk errors in the kernel's "+
			"log: %w", err)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("it is immutable or may only grow, whatever its owner and mode; end that with chattr -i -a: %w", err)
	}
	return err
}

// lock takes bbolt's own lock of f before bbolt does, so that the file can be inspected while no other process writes
// it.
func lock(ctx context.Context, f *os.File, opts Options, how int) error {
	kind, cure := syscall.LOCK_EX, onlyOne
	if how == os.O_RDONLY {
		kind, cure = syscall.LOCK_SH, "it is in use"
	}
	err := boltfile.Lock(ctx, f, kind, opts.OpenTimeout, func() {
		if opts.Waiting != nil {
			opts.Waiting(fmt.Sprintf("another process holds %s locked; waiting up to %s for it; %s",
				opts.Path, opts.OpenTimeout, onlyOne))
		}
	})
	if errors.Is(err, boltfile.ErrLocked) {
		return fmt.Errorf("%w; %s", err, cure)
	}
	return err
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

// IsNew reports whether nothing says that a database was ever at the path: no file is there, no witness, and no rescued
// copy.
func IsNew(opts Options) (bool, error) {
	l, err := newLocation(opts)
	return err == nil && errors.Is(l.missing(false), fs.ErrNotExist), err
}
