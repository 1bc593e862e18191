package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/tempfile"
)

// location is where a database and the files beside it are.
type location struct {
	path      string
	rescueDir string // where copies of a lost database go
	log       *slog.Logger
}

// newLocation takes the paths and the log of opts. The paths become independent of the working folder, which can be
// moved while the store is open.
func newLocation(opts Options) (l location, err error) {
	l.log = cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	if l.path, err = filepath.Abs(opts.Path); err == nil {
		l.rescueDir, err = filepath.Abs(cmp.Or(opts.RescueDir, filepath.Dir(l.path)))
	}
	return l, err
}

// Kinds of temporary files. Each is locked (flock) as long as its process needs it.
const (
	kindNew      = "new-"      // a new database
	kindIncoming = "incoming-" // a Replacement
	kindReplaced = "replaced-" // a copy of the database that is replaced
	kindWitness  = "witness-"
	kindProbe    = "probe-" // tests whether rescueDir can be written
	kindStops    = "stops-" // this and the next are of package notice
	kindRestored = "restored-"
	kindRescue   = "rescue-" // a copy of a lost database, perhaps the only one: never removed by removeAbandoned
)

// generated are the characters of what is behind the kind in a name: digits, and the time of kindReplaced.
const generated = "0123456789TZ.-"

// temporary is the os.CreateTemp pattern, without its digits, of a file of this kind.
func (l location) temporary(kind string) string { return "." + filepath.Base(l.path) + "." + kind }

// removeAbandoned removes the temporary files that a killed process left: those that no process has locked, and second
// names of the database. Copies of a lost database stay.
func (l location) removeAbandoned() {
	for _, path := range l.files() {
		for _, kind := range []string{kindNew, kindIncoming, kindReplaced, kindWitness, kindProbe, kindStops, kindRestored} {
			rest, is := strings.CutPrefix(filepath.Base(path), l.temporary(kind))
			if is && rest != "" && strings.Trim(rest, generated) == "" {
				l.removeUnlocked(path)
			}
		}
	}
}

func (l location) removeUnlocked(path string) {
	f, err := boltfile.Open(path, os.O_RDWR|syscall.O_NOFOLLOW)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	database, missing := os.Lstat(l.path)
	if err == nil && missing == nil && os.SameFile(info, database) || tempfile.TryLock(f) == nil {
		os.Remove(path)
	}
}

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
			strings.HasPrefix(filepath.Base(path), l.temporary(kindRescue)) && os.Remove(path) == nil
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
	f, err := os.CreateTemp(l.rescueDir, l.temporary(kindProbe))
	if noSpace(err) {
		return nil // that can be another time
	}
	if err != nil {
		return fmt.Errorf("cannot create a file in store.bolt.rescue_dir; make that folder, "+
			"and check its owner and mode: %w", err)
	}
	err = os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) { // another service, whose database has the same name, took it for abandoned
		err = nil
	}
	return errors.Join(err, f.Close())
}

// copies are the files in which accounts of a lost database may be, whole or half made. Earlier starts may have had
// another rescueDir.
func (l location) copies() []string {
	return slices.DeleteFunc(l.files(), func(path string) bool {
		name := filepath.Base(path)
		return !strings.HasPrefix(name, l.rescuedName()) && !strings.HasPrefix(name, l.temporary(kindRescue))
	})
}

// files are the regular files in the folders of the database and of its copies.
func (l location) files() (paths []string) {
	for _, dir := range slices.Compact([]string{filepath.Dir(l.path), l.rescueDir}) {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if entry.Type().IsRegular() {
				paths = append(paths, filepath.Join(dir, entry.Name()))
			}
		}
	}
	return paths
}
