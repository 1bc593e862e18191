package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// lockRetry is how often a file that another process holds is asked again.
const lockRetry = 50 * time.Millisecond

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
	if _, err := os.Stat(witness(s.path)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the file is gone, and %s says that there was one; restore a backup, or remove that file too to begin anew", witness(s.path))
	}
	dir := filepath.Dir(s.path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(s.path)+".new-*")
	if err != nil {
		return fmt.Errorf("cannot create a file in its folder: %w", err)
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

// witness is the file beside a database that says there is one, so that a lost
// database is never taken for a first start.
func witness(path string) string { return path + ".witness" }

const witnessText = "accountservice keeps accounts in the file of this name without \".witness\".\n" +
	"If that one is missing, it was lost: restore a backup. To begin anew instead, remove this file too.\n"

// leaveWitness makes sure that there is a witness.
func (s *Store) leaveWitness() error {
	f, err := os.OpenFile(witness(s.path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(witnessText)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(s.path)))
}

// syncDir makes the names in a folder survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openLocked opens an existing database file, waits until no other process
// holds it, and refuses what bbolt would overwrite, misread or die of.
func openLocked(ctx context.Context, path string, timeout time.Duration) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a regular file but %s", info.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("no permission for user %d: the file has mode %s: %w", os.Geteuid(), info.Mode(), err)
	}
	if err != nil {
		return nil, err
	}
	if err = lock(ctx, f, timeout); err == nil {
		_, err = inspect(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock takes bbolt's own lock of f (flock, exclusive) before bbolt does, to
// look at the file while nobody writes it.
func lock(ctx context.Context, f *os.File, timeout time.Duration) error {
	patience := time.NewTimer(timeout)
	defer patience.Stop()
	again := time.NewTicker(lockRetry)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-again.C:
		case <-patience.C:
			return fmt.Errorf("another process has held it locked for %s; let only one run at a time "+
				"(in a Swarm: one replica, and stop-first for updates and rollbacks)", timeout)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the process that holds it: %w", ctx.Err())
		}
	}
}

// meta is what the newer valid meta page says. Its layout is bbolt's
// (internal/common/page.go and meta.go, version 2), in the machine's byte order.
type meta struct {
	pageSize  int64
	highWater int64 // pages in use, so that the file has at least pageSize x highWater bytes
	txid      uint64
}

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	pageHeader  = 16 // bytes before the meta on its page
	metaSize    = 64 // with the FNV-1a checksum of what precedes it in the last 8
)

func (m meta) need() int64 { return m.pageSize * m.highWater }

// inspect reads the meta pages by pread, which gives an error where a read of
// the map would fault, and returns the newer valid one, if the file holds all
// that it speaks of.
func inspect(f *os.File) (meta, error) {
	info, err := f.Stat()
	if err != nil {
		return meta{}, err
	}
	if info.Size() == 0 {
		return meta{}, errors.New("is empty (0 bytes), so it is no database any more; restore a backup, or remove the file to begin with a new one")
	}
	first, err := readMeta(f, 0)
	if err != nil && !errors.Is(err, errBadMeta) {
		return meta{}, err
	}
	best, found := first, err == nil
	for size := int64(1 << 10); size <= 1<<24; size <<= 1 { // the second is one page on; its size is known only from the first
		if found && size != first.pageSize {
			continue
		}
		second, err := readMeta(f, size)
		if err == nil && (!found || second.txid > best.txid) {
			best, found = second, true
			break
		}
	}
	if !found {
		return meta{}, errors.New("is not a database, or both its meta pages are damaged; restore a backup")
	}
	if info.Size() < best.need() {
		return meta{}, fmt.Errorf("is cut short: it has %d bytes and needs %d; restore a backup", info.Size(), best.need())
	}
	return best, nil
}

var errBadMeta = errors.New("no valid meta page")

func readMeta(f *os.File, offset int64) (meta, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := f.ReadAt(page, offset); errors.Is(err, io.EOF) {
		return meta{}, errBadMeta
	} else if err != nil {
		return meta{}, fmt.Errorf("reading its meta pages: %w", err)
	}
	b, order := page[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != metaVersion || order.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return meta{}, errBadMeta
	}
	return meta{
		pageSize:  int64(order.Uint32(b[8:])),
		highWater: int64(order.Uint64(b[40:])),
		txid:      order.Uint64(b[48:]),
	}, nil
}

// identity says whether the open file is still the one at its path.
func (s *Store) identity() error {
	open, err := s.file.Stat()
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
	}
	return nil
}
