package boltstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// withRescueDir is a store of 10 accounts whose copies go elsewhere.
func withRescueDir(t *testing.T, dir string) (s *Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "accounts.db")
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: dir})
	must(t, err)
	t.Cleanup(func() { s.Close(context.Background()) })
	_, err = s.Seed(t.Context(), store.Fakes(10))
	must(t, err)
	return s, path
}

func TestRescueDirOfTheSameFileSystemServesOn(t *testing.T) {
	dir := t.TempDir()
	s, path := withRescueDir(t, dir)
	must(t, os.Remove(path))
	awaitBack(t, s)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the rescue folder: %v, %v; want nothing", left, err)
	}
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Preconditions{}); err != nil {
		t.Errorf("Put = %v", err)
	}
}

func TestRescueDirKeepsWhatCantBePutBack(t *testing.T) {
	for name, c := range map[string]struct {
		lose   func(t *testing.T, path string)
		device bool
		why    string
	}{
		"another file system": {func(t *testing.T, p string) { must(t, os.Remove(p)) }, true, "cross-device link"},
		"its folder removed":  {func(t *testing.T, p string) { must(t, os.RemoveAll(filepath.Dir(p))) }, false, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.device {
				mountSmall(t, dir)
			}
			s, path := withRescueDir(t, dir)
			c.lose(t, path)
			kept := filepath.Join(dir, "accounts.db.rescued-")
			awaitNote(t, s, "its 10 accounts are kept in "+kept)
			if err := s.Check(t.Context()); !strings.Contains(err.Error(), c.why) {
				t.Errorf("Check = %v, want why it was not put back: %s", err, c.why)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("at the path: %v, want nothing", err)
			}
			storetest.Close(t, s)
			copies, err := filepath.Glob(kept + "*")
			if err != nil || len(copies) != 1 {
				t.Fatalf("copies %q, %v", copies, err)
			}
			if c.device { // the folder with the witness is there
				_, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: dir})
				if err == nil || !strings.Contains(err.Error(), copies[0]) {
					t.Errorf("Open = %v, want the copy named", err)
				}
			}
			if n := len(all(t, openAt(t, copies[0]))); n != 10 {
				t.Errorf("the copy has %d accounts, want 10", n)
			}
		})
	}
}

func TestRescueDirThatCantBeUsedIsAnErrorAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	_, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, RescueDir: filepath.Join(t.TempDir(), "none")})
	if err == nil || !strings.Contains(err.Error(), "store.bolt.rescue_dir") {
		t.Errorf("Open = %v, want the setting named", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made: %v", err)
	}
}

// Every page counts, also those that no account needs.
func TestCopyWithADamagedListOfFreePagesIsKeptAndNotServed(t *testing.T) {
	s, path := seeded(t, 3000)
	for i := range 20 { // so that pages are free
		must(t, s.Delete(t.Context(), store.ID(fmt.Sprint(10000+i*100)), store.Preconditions{}))
	}
	m, err := boltfile.InspectFile(s.handle().file)
	must(t, err)
	spoil(t, path, int64(m.Freelist)*m.PageSize+boltfile.HeaderSize, []byte{3}) // a page that is in use
	must(t, os.Remove(path))
	awaitNote(t, s, "are kept in "+path+".rescued-")
	if err := s.Check(t.Context()); !strings.Contains(err.Error(), "the copy is damaged: page") {
		t.Errorf("Check = %v, want the damage", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("at the path: %v, want nothing", err)
	}
}

func TestLossIsLoggedOnceWithItsAccounts(t *testing.T) {
	var log strings.Builder
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	_, err = s.Seed(t.Context(), store.Fakes(10))
	must(t, err)
	must(t, os.Remove(path))
	awaitBack(t, s)
	storetest.Close(t, s)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "level=WARN msg=\"the database was put back\"") ||
		!strings.Contains(log.String(), "accounts=10") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestLeftoversOfACrashAreRemovedAndCopiesAreNot(t *testing.T) {
	s, path := seeded(t, 10)
	storetest.Close(t, s)
	dir := filepath.Dir(path)
	old := time.Now().Add(-2 * leftoverAge)
	stays := map[string]bool{
		".accounts.db.new-123":          false,
		".accounts.db.witness-9":        false,
		".accounts.db.rescue-7":         true,
		"accounts.db.rescued-2026":      true,
		".accounts.db.new-":             true,
		".accounts.db.new-12x":          true,
		".accounts.db.newer-12":         true,
		".other.db.new-123":             true,
		".accounts.db.witness-9.backup": true,
	}
	for name := range stays {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	must(t, os.Mkdir(filepath.Join(dir, ".accounts.db.new-1"), 0o700))
	stays[".accounts.db.new-1"] = true
	must(t, os.Link(path, filepath.Join(dir, ".accounts.db.rescue-8"))) // it was put back, and then came the crash
	stays[".accounts.db.rescue-8"] = false
	writeFile(t, filepath.Join(dir, ".accounts.db.new-5"), nil) // made just now, perhaps by another process
	stays[".accounts.db.new-5"] = true
	var log strings.Builder
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer storetest.Close(t, s)
	for name, want := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	for _, copied := range []string{".accounts.db.rescue-7", "accounts.db.rescued-2026"} {
		if !strings.Contains(log.String(), copied) {
			t.Errorf("the log does not name %s:\n%s", copied, log.String())
		}
	}
	if n := len(all(t, s)); n != 10 {
		t.Errorf("%d accounts, want 10", n)
	}
}
