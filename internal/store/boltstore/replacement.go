package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/tempfile"
)

// ErrDamaged: a database file is not whole, or not a database of this service.
var ErrDamaged = errors.New("the database is damaged")

// ErrNoDatabase: a file is of another format, as an export is. The error says what to do with it.
var ErrNoDatabase = boltfile.ErrNoDatabase

// Verified is what VerifyWhole found in a whole database.
type Verified struct {
	boltverify.Report
	Identity string // which database it is; "" if that is damaged, or no service opened it yet
}

// VerifyWhole reads every page and every record of an open file that nobody writes to. The error is ErrNoDatabase, or
// ErrDamaged with the first finding, unless a start would serve the file: single damaged records are no error, and
// neither is a damaged older meta page alone. Of the records, Damaged counts accounts, Minor those that a service serves
// or does without, and Own the service's own, which a start makes anew.
// With ErrDamaged, v has the Identity if that can be read.
func VerifyWhole(ctx context.Context, f *os.File) (v Verified, err error) {
	if v.Report, err = boltverify.VerifyFile(ctx, f); err != nil {
		return v, err
	}
	if !v.Intact && !v.OnlyRecords() && !v.OnlyOlderMeta() {
		if m, _ := boltfile.InspectFile(f); m != (boltfile.Meta{}) {
			v.Identity, _ = identity(m.Snapshot(f))
		}
		return v, fmt.Errorf("%w: %s", ErrDamaged, v.Findings[0])
	}
	m, _, err := acceptable(f, false)
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if v.Identity, err = identity(m.Snapshot(f)); err != nil && v.Own == 0 { // if Own > 0, a start makes it anew
		return v, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return v, nil
}

// Replacement is a database file that is not at its path yet. It lies in the folder of the path under a hidden name,
// because no rename leads from one file system to another, and has owner and mode of the database at the path, or the
// folder's owner and mode 0600. It is locked until Discard.
type Replacement struct {
	*os.File // what is written here gets to the path
	location
}

// NewReplacement makes an empty Replacement for the database at path. It removes what a killed process left.
func NewReplacement(path string) (*Replacement, error) {
	l, err := newLocation(Options{Path: path})
	if err != nil {
		return nil, err
	}
	l.removeAbandoned()
	dir, mode := filepath.Dir(l.path), fs.FileMode(0o600)
	folder, err := os.Open(dir) // to be flushed at the end, it must be readable
	if err != nil {
		return nil, fmt.Errorf("the folder of the database: %w", err)
	}
	folder.Close()
	like, err := os.Lstat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		like, err = os.Stat(dir)
	case err == nil && !like.Mode().IsRegular():
		err = fmt.Errorf("%s is no regular file (%s)", l.path, like.Mode())
	case err == nil:
		mode = like.Mode().Perm()
	}
	if err != nil {
		return nil, err
	}
	f, err := tempfile.Create(dir, l.temporary(kindIncoming), like)
	if err != nil {
		return nil, fmt.Errorf("cannot create a file in the folder of the database: %w", err)
	}
	r := &Replacement{f, l}
	err = cmp.Or(f.Chmod(mode), boltfile.Lock(context.Background(), f, syscall.LOCK_EX, time.Second, nil))
	if err != nil {
		r.Discard()
		return nil, err
	}
	return r, nil
}

// Discard closes the file, and removes it unless it is at the path.
func (r *Replacement) Discard() {
	os.Remove(r.Name())
	r.Close()
}

// Put gives the file the path. The error is fs.ErrExist if something is there.
func (r *Replacement) Put() error {
	if err := r.Sync(); err != nil {
		return err
	}
	return putAt(r.Name(), r.path)
}

// Replace puts the file in place of the one at the path, in one step: at any time one of the two is there. With keep
// the old one gets another name beside it first, which Replace returns.
func (r *Replacement) Replace(keep bool) (kept string, err error) {
	if err := r.Sync(); err != nil {
		return "", err
	}
	if keep {
		if kept, err = r.keepOld(); err != nil {
			return "", fmt.Errorf("keeping the old database: %w", err)
		}
	}
	return kept, tempfile.Rename(r.File, r.path)
}

// keepOld gives the file at the path a second name. Where the file system has no such names, it makes a copy.
func (r *Replacement) keepOld() (string, error) {
	kept := r.path + "." + kindReplaced + time.Now().UTC().Format("20060102T150405.000Z")
	err := os.Link(r.path, kept)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EXDEV) {
		err = copyBeside(r.path, kept)
	}
	return kept, err
}

// copyBeside makes a copy with the same owner and mode in the same folder, which appears whole or not at all.
func copyBeside(path, to string) error {
	from, err := boltfile.Open(path, os.O_RDONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	f, err := tempfile.Create(filepath.Dir(to), "."+filepath.Base(to)+"-", info) // of kindReplaced
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	return errors.Join(err, f.Close())
}

// Room fails if the disk has no room for a database of so many bytes.
func (r *Replacement) Room(size int64) error { return tempfile.CheckRoom(r.File, size) }
