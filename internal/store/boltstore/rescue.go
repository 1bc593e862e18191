package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltverify"
)

const (
	// maxRescues is how often within a minute a store goes on after its file was
	// lost. Where it is lost more often, somebody must look.
	maxRescues = 5
	// rescueRate, in bytes a second, is what a rescue must at least get done, and
	// rescueGrace what it may take beside, before Check fails for it.
	rescueRate  = 16 << 20
	rescueGrace = 30 * time.Second
)

// saving is a rescue under way, or one that waits until the disk has room.
type saving struct {
	reason error
	until  time.Time // from then on it is taken to hang
	full   error     // that the last try found no room; nil before there was one
	next   time.Time // when that is worth another one
}

// saved is what became of the accounts of a store whose file was lost.
type saved struct {
	accounts int
	at       string      // the path of their file; "" if there is none
	file     fs.FileInfo // that file
	why      error       // it is not at the store's path
}

// rescue saves the accounts of a store whose file is no longer at its path: the
// open file is their last copy, and ends with this process. If nothing stands
// at the path, a copy is put there and the store goes on with it. Anything else
// there is left alone, the copy is kept, and the store is latched. A disk that
// is full is waited for, because a new process would have no accounts at all,
// unless this is the last try. It is called by the committer, so that no write
// comes between the copy and the change.
func (s *Store) rescue(last bool) {
	h := s.handle()
	lost := s.identity(h)
	if lost == nil {
		s.saving.Store(nil) // it came back meanwhile
	}
	if !errors.Is(lost, errReplaced) {
		return
	}
	begun, before := time.Now(), s.saving.Load()
	if before != nil && begun.Before(before.next) && !last {
		return
	}
	goOn := s.mayGoOn(before == nil, begun)
	if !goOn {
		lost = fmt.Errorf("%w, time %d within a minute", lost, len(s.rescues))
	}
	now := saving{reason: lost, until: begun.Add(rescueGrace)}
	if info, err := h.file.Stat(); err == nil {
		now.until = now.until.Add(time.Duration(info.Size()/rescueRate) * time.Second)
	}
	if before != nil {
		now.full = before.full
	}
	s.saving.Store(&now)
	s.reserve.release(h)
	k, next := s.save(h, goOn)
	switch {
	case next != nil:
		s.change(next)
		s.saving.Store(nil)
		if err := s.tellWitness(next, false); err != nil { // it may be deleted too
			s.log.Warn("no witness can be left beside the database", "path", s.path, "err", err)
		}
		s.reserve.keep(next.file)
		s.log.Warn("the database was put back", "path", s.path, "accounts", k.accounts, "reason", lost)
	case k.at == "" && noSpace(k.why) && !last && h.nobodyElseAt(s.path):
		s.saving.Store(&saving{lost, now.until, k.why, time.Now().Add(time.Second + 4*time.Since(begun))})
		if before == nil {
			s.log.Error("the database was lost, and the disk has no room to put it back: free some, and do not stop this process, which has its last copy",
				"path", s.path, "reason", lost, "err", k.why)
		}
	default:
		s.latch(lost)
		s.latch(k.why) // it may be a fault, from which there is no way back either
		s.record(k)
		s.saving.Store(nil)
	}
}

// nobodyElseAt says whether a new process would find no database at the path.
func (h *handle) nobodyElseAt(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	open, err := h.file.Stat()
	return err == nil && os.SameFile(open, there) // mounted alone, and gone where it comes from
}

// mayGoOn says whether the store was lost seldom enough to be put back and
// served on. again is a loss that was not counted yet.
func (s *Store) mayGoOn(again bool, now time.Time) bool {
	s.rescues = slices.DeleteFunc(s.rescues, func(t time.Time) bool { return now.Sub(t) > time.Minute })
	if again {
		s.rescues = append(s.rescues, now)
	}
	return len(s.rescues) <= maxRescues
}

// record keeps in the failure what was saved, and says it in the log.
func (s *Store) record(k *saved) {
	f := s.failed.Load()
	f.saved.Store(k)
	switch {
	case k.at == "":
		s.log.Error("the database was lost", "path", s.path, "reason", f.err, "err", k.why)
	case k.at == s.path:
		s.log.Error("the database was put back, for a restart to serve", "path", s.path, "accounts", k.accounts, "reason", f.err)
	default:
		s.log.Error("the database was saved, and not put back", "copy", k.at, "accounts", k.accounts, "reason", f.err, "err", k.why)
	}
}

// standBy is the committer of a latched store: it refuses what still waits. If
// the file was lost and what was saved of it is lost too, or nothing could be
// saved yet, it saves the accounts again, as long as this process has them.
func (s *Store) standBy() {
	f := s.failed.Load()
	if !errors.Is(f.err, errReplaced) {
		return
	}
	var next time.Time
	for {
		select {
		case <-s.closing:
			if !f.saved.Load().there() { // a stop waits for the last try
				s.saving.Store(&saving{reason: f.err, until: time.Now().Add(rescueGrace)})
				k, _ := s.save(s.handle(), false)
				s.record(k)
				s.saving.Store(nil)
			}
			return
		case w := <-s.writes:
			if w.taken.CompareAndSwap(false, true) {
				w.done <- s.usable()
			}
		case <-s.lost:
			begun := time.Now()
			if begun.Before(next) || f.saved.Load().there() {
				continue
			}
			before := f.saved.Load().words(s.path)
			k, _ := s.save(s.handle(), false)
			if k.words(s.path) == before {
				f.saved.Store(k) // in vain again: said before
			} else {
				s.record(k)
			}
			next = time.Now().Add(time.Second + 4*time.Since(begun))
		}
	}
}

// save makes a copy of the open database and puts it at the path if nothing
// stands there, opened for the store to go on with if goOn; else it keeps the
// copy where it made it.
func (s *Store) save(h *handle, goOn bool) (k *saved, next *handle) {
	k = new(saved)
	home, vain := h.sameFileSystem(filepath.Dir(s.path))
	if vain && s.rescueDir == filepath.Dir(s.path) {
		k.why = home
		return k, nil
	}
	c, err := h.copyTo(s.rescueDir, filepath.Base(s.path))
	if err != nil {
		k.why = err
		return k, nil
	}
	defer func() {
		if next == nil {
			c.Close()
		}
	}()
	var damage error
	k.accounts, damage = countIntact(c)
	k.file, err = c.Stat()
	// a damaged copy is still the last there is, but not to be served unseen
	if k.why = errors.Join(home, damage, err); k.why == nil && goOn {
		next, k.why = h.openCopy(c)
	}
	if k.why == nil {
		if k.why = putAt(c.Name(), s.path); k.why == nil {
			os.Remove(c.Name())
			k.at = s.path
			return k, next
		}
	}
	if next != nil {
		next.close()
		next = nil
	}
	k.at = s.keep(c.Name())
	return k, nil
}

// keep gives a copy the name that people look for, and returns where it is.
func (s *Store) keep(name string) string {
	kept := filepath.Join(filepath.Dir(name), filepath.Base(s.path)+".rescued-"+time.Now().UTC().Format("20060102T150405.000Z"))
	if err := putAt(name, kept); err != nil { // it has a name already
		return name
	}
	os.Remove(name)
	return kept
}

// putAt gives a file one more name, never one that is taken.
func putAt(name, path string) error {
	err := os.Link(name, path)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(path))
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("another file is there: %w", errors.Unwrap(err))
	case errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("store.bolt.rescue_dir is on another file system: %w", errors.Unwrap(err))
	}
	return err
}

// copyTo writes a copy of the last transaction into a new file of the folder,
// with mode and owner of the open one. On an error it leaves none.
func (h *handle) copyTo(dir, base string) (_ *os.File, err error) {
	info, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	c, err := os.CreateTemp(dir, "."+base+".rescue-*")
	if err != nil {
		return nil, fmt.Errorf("cannot create a file for the copy: %w", err)
	}
	defer func() {
		if err != nil {
			c.Close()
			os.Remove(c.Name())
		}
	}()
	owner := info.Sys().(*syscall.Stat_t)
	c.Chown(int(owner.Uid), int(owner.Gid)) // works for root, who alone can need it
	err = guard(func() error {
		if err := errors.Join(c.Chmod(info.Mode().Perm()), h.touchMetas()); err != nil {
			return err
		}
		return h.db.View(func(tx *bbolt.Tx) error {
			if found, ours := uint64(tx.ID()), h.committed.Load(); found != ours {
				return errForeign(found, ours)
			}
			if err := roomFor(c, tx.Size()); err != nil {
				return err
			}
			_, err := tx.WriteTo(c)
			return err
		})
	})
	return c, errors.Join(err, c.Sync())
}

// roomFor fails if the disk of f has no room for n bytes: to find that out by
// writing would take from others what is left.
func roomFor(f *os.File, n int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &disk); err != nil {
		return err
	}
	free := int64(disk.Bavail)
	if os.Geteuid() == 0 {
		free = int64(disk.Bfree) // root may take what is kept from others
	}
	if free *= int64(disk.Bsize); free < n {
		return fmt.Errorf("its copy takes %d MiB, and %d MiB are free: %w", (n+1<<20-1)>>20, free>>20, syscall.ENOSPC)
	}
	return nil
}

// openCopy opens a copy of h, to be served in its place.
func (h *handle) openCopy(c *os.File) (*handle, error) {
	var next handle
	err := next.open(c.Name(), func() (*os.File, error) {
		return c, syscall.Flock(int(c.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}, func() error {
		if err := next.prepare(nil); err != nil {
			return err
		}
		if next.id != h.id || next.committed.Load() != h.committed.Load() {
			return fmt.Errorf("the copy has transaction %d of database %s, and the original %d of %s",
				next.committed.Load(), next.id, h.committed.Load(), h.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// sameFileSystem fails if the folder is not on the file system of the open file,
// and says whether a copy in that folder is in vain: if the file system has the
// file still, it was unmounted with all accounts, and the file is whole. A copy in
// what is there instead would be served, and forgotten at the next mount.
func (h *handle) sameFileSystem(dir string) (err error, vain bool) {
	folder, err := os.Stat(dir)
	if err != nil {
		return err, true
	}
	file, err := h.file.Stat()
	if err != nil {
		return err, true
	}
	open := file.Sys().(*syscall.Stat_t)
	switch {
	case folder.Sys().(*syscall.Stat_t).Dev == open.Dev:
		return nil, false
	case h.deleted(file):
		return fmt.Errorf("%s is on another file system than the file was", dir), false
	}
	return fmt.Errorf("%s is on another file system than the open file, which is whole where it is: mount that again", dir), true
}

// countIntact reads every page and record of a database file and returns how
// many accounts it has, and the first damage.
func countIntact(f *os.File) (accounts int, damage error) {
	report, err := boltverify.VerifyFile(context.Background(), f)
	if len(report.Findings) > 0 {
		err = fmt.Errorf("the copy is damaged: %s", report.Findings[0])
	}
	return report.Accounts, err
}

// there says whether the accounts are still where they were saved.
func (k *saved) there() bool {
	if k.at == "" {
		return false
	}
	info, err := os.Stat(k.at)
	return err == nil && os.SameFile(info, k.file)
}

// words says what became of the accounts, and never that they are where they
// are no longer. It asks the disk.
func (k *saved) words(path string) string {
	switch {
	case k.at == "":
		return fmt.Sprintf("its accounts could not be saved: %v", k.why)
	case !k.there():
		return fmt.Sprintf("its %d accounts were saved in %s, and that is gone again", k.accounts, k.at)
	case k.at == path:
		return fmt.Sprintf("all %d accounts were put back at the path; a restart serves them", k.accounts)
	default:
		return fmt.Sprintf("its %d accounts are kept in %s (not put back: %v)", k.accounts, k.at, k.why)
	}
}

// takesWrites fails while the file was lost and is not put back yet.
func (s *Store) takesWrites() error {
	switch now := s.saving.Load(); {
	case now == nil:
		return nil
	case now.full != nil:
		return fmt.Errorf("%w: %w; free some space, and it is put back; do not stop this process, which has its last copy: %w",
			store.ErrNoSpace, now.reason, now.full)
	default:
		return fmt.Errorf("%w: its accounts are being copied, and until then it takes no writes: %w", store.ErrUnavailable, now.reason)
	}
}

// inPlace is identity for Check, which has the file put back. While that goes on
// it is nothing that a new process could do better: it would have no accounts.
func (s *Store) inPlace(h *handle) error {
	err := s.identity(h)
	now := s.saving.Load() // before the handle, which changes while it is set
	if !errors.Is(err, errReplaced) {
		if now != nil {
			s.reportLost() // the committer is to see that it came back
		}
		return err
	}
	goesOn := now != nil && (now.full != nil || time.Now().Before(now.until)) || s.handle() != h
	s.reportLost()
	if goesOn {
		return nil
	}
	return err
}

// explain is asError with what became of the accounts.
func (s *Store) explain(f *failure) error {
	if k := f.saved.Load(); k != nil {
		return fmt.Errorf("%w; %s", f.asError(), k.words(s.path))
	}
	return f.asError()
}
