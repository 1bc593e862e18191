package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// rescue saves the accounts of a store whose file is no longer at its path: the
// open file is their last copy, and ends with this process. If nothing stands
// at the path, the copy is put there and the next process serves it; anything
// else there is left alone, and the copy is kept beside it. It is called by
// the committer after the last commit, and says in the failure what it did.
func (s *Store) rescue(f *failure) {
	var note string
	n, kept, err := s.saveCopy()
	switch {
	case err != nil:
		note = fmt.Sprintf("its accounts could not be saved: %v", err)
		s.log.Error("the database was lost", "path", s.path, "reason", f.err, "err", err)
	case kept == s.path:
		note = fmt.Sprintf("all %d accounts were put back at the path; a restart serves them", n)
		s.log.Warn("the database was put back", "path", s.path, "accounts", n, "reason", f.err)
	default:
		note = fmt.Sprintf("its %d accounts are kept in %s", n, kept)
		s.log.Warn("the database was saved beside the file that replaced it", "copy", kept, "accounts", n, "reason", f.err)
	}
	f.note.Store(&note)
}

// saveCopy writes and verifies a copy of the open database beside its path. It
// returns how many accounts it has, and where it is.
func (s *Store) saveCopy() (accounts int, kept string, err error) {
	dir := filepath.Dir(s.path)
	if err := s.sameFileSystem(dir); err != nil {
		return 0, "", err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(s.path)+".rescue-*")
	if err != nil {
		return 0, "", fmt.Errorf("cannot create a file in its folder: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	err = guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(tmp)
			return err
		})
	})
	if err := errors.Join(err, tmp.Sync()); err != nil {
		return 0, "", err
	}
	places := []string{s.path, s.path + ".rescued-" + time.Now().UTC().Format("20060102T150405.000Z")}
	accounts, damage := countIntact(tmp)
	if damage != nil { // still the last there is, but not to be served unseen
		places = places[1:]
		s.log.Error("the saved database is damaged", "damage", damage)
	}
	for _, kept := range places {
		err = os.Link(tmp.Name(), kept) // never over what is there
		if err == nil {
			return accounts, kept, syncDir(dir)
		}
		if !errors.Is(err, fs.ErrExist) {
			return 0, "", err
		}
	}
	return 0, "", err
}

// sameFileSystem fails if the folder is no longer on the file system of the open
// file: that was unmounted, and has the file, accounts and all. A copy in what
// is there instead would be served, and forgotten at the next mount.
func (s *Store) sameFileSystem(dir string) error {
	folder, err := os.Stat(dir)
	if err != nil {
		return err
	}
	file, err := s.file.Stat()
	if err != nil {
		return err
	}
	if folder.Sys().(*syscall.Stat_t).Dev != file.Sys().(*syscall.Stat_t).Dev {
		return fmt.Errorf("%s is on another file system than the open file, which is whole where it is: mount that again", dir)
	}
	return nil
}

// countIntact reads all of a database file, by its own newest meta page.
func countIntact(f *os.File) (n int, err error) {
	m, err := inspectFile(f)
	if err != nil {
		return 0, err
	}
	snap := snapshot{file: f, pageSize: m.pageSize, top: m.root}
	for last := store.ID(""); ; {
		var step int
		if last, step, err = walk(snap, last); err != nil {
			return n, err
		}
		n += step
		if last == "" {
			return n, answersIntact(snap)
		}
	}
}
