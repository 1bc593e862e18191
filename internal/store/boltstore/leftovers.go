package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftoverAge is how old what a crash left half made must be to be removed:
// another process that starts may be making such a file at this moment.
const leftoverAge = time.Minute

// tidy removes what a crash left half made beside the database, while the lock
// is held. A copy of a lost database may be the last one, and stays; only its
// temporary name goes when it was put back.
func (s *Store) tidy() {
	here, err := s.handle().file.Stat()
	if err != nil {
		return
	}
	for _, name := range s.temporary(filepath.Dir(s.path), "new-", "witness-") {
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > leftoverAge {
			s.remove(name)
		}
	}
	for _, name := range s.temporary(s.rescueDir, "rescue-") {
		if info, err := os.Lstat(name); err == nil && os.SameFile(info, here) {
			s.remove(name)
		}
	}
	if copies := s.copies(); len(copies) > 0 {
		s.log.Warn("copies of a lost database are still there: check them with accountservice verify, and remove them", "copies", copies)
	}
}

func (s *Store) remove(name string) {
	if err := os.Remove(name); err == nil {
		s.log.Info("removed what a crash left half made", "file", name)
	}
}

// usableFolder says whether copies can be made in another folder than the
// database's: better now than when one must.
func (s *Store) usableFolder() error {
	if s.rescueDir == filepath.Dir(s.path) {
		return nil
	}
	f, err := os.CreateTemp(s.rescueDir, ".accountservice-*")
	if noSpace(err) {
		return nil // that can be another time
	}
	if err != nil {
		return fmt.Errorf("cannot create a file in store.bolt.rescue_dir; make that folder, and check its owner and mode: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// copies are the files in which accounts of a lost database may be.
func (s *Store) copies() []string {
	kept := files(s.rescueDir, func(name string) bool { return strings.HasPrefix(name, filepath.Base(s.path)+".rescued-") })
	return append(kept, s.temporary(s.rescueDir, "rescue-")...)
}

// temporary lists the files that os.CreateTemp made for this database: their
// names are of one of these kinds and end in digits.
func (s *Store) temporary(dir string, kinds ...string) []string {
	return files(dir, func(name string) bool {
		for _, kind := range kinds {
			digits, ours := strings.CutPrefix(name, "."+filepath.Base(s.path)+"."+kind)
			if ours && digits != "" && strings.Trim(digits, "0123456789") == "" {
				return true
			}
		}
		return false
	})
}

// files lists the regular files of a folder whose names match.
func files(dir string, match func(name string) bool) (paths []string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.Type().IsRegular() && match(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths
}
