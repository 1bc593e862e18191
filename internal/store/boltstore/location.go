package boltstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftoverAge is how old a half-made file must be to be removed: another process that starts may be making one at
// this moment.
const leftoverAge = time.Minute

// location is where a database and the files beside it are.
type location struct {
	path      string
	rescueDir string // where copies of a lost database go
	log       *slog.Logger
}

// temporary is the os.CreateTemp pattern, without its digits, of a file of this kind.
func (l location) temporary(kind string) string { return "." + filepath.Base(l.path) + "." + kind }

// rescuedName is how the name of a copy that was kept begins.
func (l location) rescuedName() string { return filepath.Base(l.path) + ".rescued-" }

// tidy removes what a crash left half made beside the open database, while the lock is held. A copy of a lost
// database may be the last one, and stays; only its temporary name goes if the copy was put at the path.
func (l location) tidy(open *os.File) {
	here, err := open.Stat()
	if err != nil {
		return
	}
	for _, name := range l.made(filepath.Dir(l.path), "new-", "witness-") {
		if info, err := os.Lstat(name); err == nil && time.Since(info.ModTime()) > leftoverAge {
			l.remove(name)
		}
	}
	for _, name := range l.made(l.rescueDir, "rescue-") {
		if info, err := os.Lstat(name); err == nil && os.SameFile(info, here) {
			l.remove(name)
		}
	}
	if copies := l.copies(); len(copies) > 0 {
		l.log.Warn("accounts of a lost database were saved in these files and are not served; they may be newer than the database: check each with accountservice verify, and remove it when you need it no more",
			"copies", copies)
	}
}

func (l location) remove(name string) {
	if err := os.Remove(name); err == nil {
		l.log.Info("removed what a crash left half made", "file", name)
	}
}

// usableFolder fails if copies cannot be made in rescueDir: better now than when one must be.
func (l location) usableFolder() error {
	if l.rescueDir == filepath.Dir(l.path) {
		return nil
	}
	f, err := os.CreateTemp(l.rescueDir, ".accountservice-*")
	if noSpace(err) {
		return nil // that can be another time
	}
	if err != nil {
		return fmt.Errorf("cannot create a file in store.bolt.rescue_dir; make that folder, "+
			"and check its owner and mode: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// copies are the files in which accounts of a lost database may be.
func (l location) copies() []string {
	kept := files(l.rescueDir, func(name string) bool { return strings.HasPrefix(name, l.rescuedName()) })
	return append(kept, l.made(l.rescueDir, "rescue-")...)
}

// made lists the files that os.CreateTemp made for this database: their names are of one of these kinds and end in
// digits.
func (l location) made(dir string, kinds ...string) []string {
	return files(dir, func(name string) bool {
		for _, kind := range kinds {
			digits, ours := strings.CutPrefix(name, l.temporary(kind))
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
