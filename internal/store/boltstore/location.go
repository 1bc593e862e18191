package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// location is where a database and the files beside it are.
type location struct {
	path      string
	rescueDir string // where copies of a lost database go
	log       *slog.Logger
}

// newLocation takes the places and the log of opts. The paths become independent of the working folder, which can be
// moved while the store is open.
func newLocation(opts Options) (l location, err error) {
	l.log = opts.Log
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.path, err = filepath.Abs(opts.Path); err == nil {
		l.rescueDir, err = filepath.Abs(cmp.Or(opts.RescueDir, filepath.Dir(l.path)))
	}
	return l, err
}

// temporary is the os.CreateTemp pattern, without its digits, of a file of this kind.
func (l location) temporary(kind string) string { return "." + filepath.Base(l.path) + "." + kind }

// rescuedName is how the name of a copy that was kept begins.
func (l location) rescuedName() string { return filepath.Base(l.path) + ".rescued-" }

// tidy removes the temporary name of a copy that is the open database: a crash came after it was put at the path. All
// other copies stay, because each may be the last one; the log names them.
func (l location) tidy(open *os.File) {
	here, err := open.Stat()
	if err != nil {
		return
	}
	copies := slices.DeleteFunc(l.copies(), func(path string) bool {
		info, err := os.Lstat(path)
		return err == nil && os.SameFile(info, here) &&
			strings.HasPrefix(filepath.Base(path), l.temporary("rescue-")) && os.Remove(path) == nil
	})
	if len(copies) > 0 {
		l.log.Warn("accounts of a lost database were saved in these files and are not served; they may be newer than the "+
			"database: check each with accountservice verify, and remove it when you need it no more", "copies", copies)
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

// copies are the files in which accounts of a lost database may be, whole or half made. Earlier starts may have had
// another rescueDir.
func (l location) copies() (paths []string) {
	for _, dir := range slices.Compact([]string{filepath.Dir(l.path), l.rescueDir}) {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			ours := strings.HasPrefix(entry.Name(), l.rescuedName()) || strings.HasPrefix(entry.Name(), l.temporary("rescue-"))
			if ours && entry.Type().IsRegular() {
				paths = append(paths, filepath.Join(dir, entry.Name()))
			}
		}
	}
	return paths
}
