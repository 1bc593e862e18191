package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestRescueDirOfTheSameFileSystemPutsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, path, _ := logged(t, boltstore.Options{RescueDir: dir})
	must(t, os.Remove(path))
	awaitFailure(t, s, "all 10 accounts were put back")
	wantFiles(t, filepath.Join(dir, "*"), 0)
	storetest.Close(t, s)
	wantAccounts(t, path, 10)
}

func TestRescueDirKeepsWhatCantBePutBack(t *testing.T) {
	t.Parallel()
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
				harness.SmallDisk(t, dir, "size=32m")
			}
			s, path, _ := logged(t, boltstore.Options{RescueDir: dir})
			c.lose(t, path)
			kept := filepath.Join(dir, "accounts.db.rescued-")
			awaitFailure(t, s, "its 10 accounts are kept in "+kept)
			wantWords(t, s.Failure(), c.why)
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("at the path: %v, want nothing", err)
			}
			storetest.Close(t, s)
			copies := wantFiles(t, kept+"*", 1)
			if c.device { // the folder with the witness is there
				refused(t, path, boltstore.Options{RescueDir: dir}, copies[0])
			}
			wantAccounts(t, copies[0], 10)
		})
	}
}

// The file is whole where it is: a copy is made only by the stop, after which the file may not be found again.
func TestUnmountWithARescueDirIsWaitedForAndTheStopKeepsACopy(t *testing.T) {
	t.Parallel()
	dir, rescueDir, again := t.TempDir(), t.TempDir(), t.TempDir()
	unmount := harness.SmallDisk(t, dir, "size=32m")
	path := filepath.Join(dir, "accounts.db")
	s, _, err := tryOpen(t, path, boltstore.Options{RescueDir: rescueDir})
	must(t, err)
	must(t, errOf(s.Seed(t.Context(), store.Fakes(10))))
	must(t, syscall.Mount(dir, again, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { syscall.Unmount(again, syscall.MNT_DETACH) })
	unmount()
	awaitUnsaved(t, s, "mount that again")
	wantName(t, s, "10000", "Person_0")
	wantFiles(t, filepath.Join(rescueDir, "*"), 0)
	storetest.Close(t, s)
	kept := filepath.Join(rescueDir, "accounts.db.rescued-")
	wantWords(t, s.Failure(), "its 10 accounts are kept in "+kept)
	copies := wantFiles(t, kept+"*", 1)
	wantAccounts(t, copies[0], 10)
	wantAccounts(t, filepath.Join(again, "accounts.db"), 10)
}

func TestRescueDirThatCantBeUsedIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.db")
	refused(t, path, boltstore.Options{RescueDir: filepath.Join(t.TempDir(), "none")}, "store.bolt.rescue_dir")
}

func TestCopiesOfALostDatabaseStayAndAreNamed(t *testing.T) {
	t.Parallel()
	path := closed(t, 10)
	dir := filepath.Dir(path)
	stays := map[string]bool{".accounts.db.rescue-7": true, "accounts.db.rescued-2026": true, ".accounts.db.rescue-8": false}
	for name, stay := range stays {
		if stay {
			writeFile(t, filepath.Join(dir, name), []byte("x"))
		} else { // it was put back, and then came the crash
			must(t, os.Link(path, filepath.Join(dir, name)))
		}
	}
	s, log, err := tryOpen(t, path, boltstore.Options{})
	must(t, err)
	for name, want := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want || strings.Contains(log.String(), name) != want {
			t.Errorf("%s: %v, want it there and in the log: %v\n%s", name, err, want, log)
		}
	}
	storetest.Close(t, s)
	wantAccounts(t, path, 10)
}
