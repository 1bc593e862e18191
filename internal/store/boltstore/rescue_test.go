package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// logged is a new store of 10 accounts, and its log.
func logged(t *testing.T, opts boltstore.Options) (s *boltstore.Store, path string, log *bytes.Buffer) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "accounts.db")
	s, log, err := tryOpen(t, path, opts)
	must(t, err)
	t.Cleanup(func() { s.Close(context.Background()) })
	must(t, errOf(s.Seed(t.Context(), store.Fakes(10))))
	return s, path, log
}

// wantAccounts opens the database at path.
func wantAccounts(t *testing.T, path string, n int) {
	t.Helper()
	s := openAt(t, path)
	if found := len(all(t, s)); found != n {
		t.Errorf("%s has %d accounts, want %d", path, found, n)
	}
	storetest.Close(t, s)
}

func TestLostDatabaseIsPutBackForARestartAndNothingIsAcknowledgedAfterIt(t *testing.T) {
	t.Parallel()
	s, path, log := logged(t, boltstore.Options{})
	must(t, os.Chmod(path, 0o640))
	must(t, os.Remove(path))
	wantErr(t, putName(t, s, "10000", "lost"), store.ErrUnavailable)
	awaitFailure(t, s, "deleted or moved away; all 10 accounts were put back at the path; a restart serves them")
	unusable(t, s)
	wantErr(t, s.Failure(), store.ErrUnavailable)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v; want the mode that the file had", info.Mode(), err)
	}
	storetest.Close(t, s)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "accounts=10") {
		t.Errorf("log:\n%s", log)
	}
	again := openAt(t, path)
	if acc, err := again.Get(t.Context(), "10000"); err != nil || acc.Name != "Person_0" || len(all(t, again)) != 10 {
		t.Errorf("%+v, %v; want it as it was acknowledged", acc, err)
	}
}

// leaveOneDescriptor lets this process open one more file at once, until free is called.
func leaveOneDescriptor(t *testing.T) (free func()) {
	t.Helper()
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	few := syscall.Rlimit{Cur: min(before.Cur, 512), Max: before.Max}
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	var open []*os.File
	free = sync.OnceFunc(func() {
		for _, f := range open {
			f.Close()
		}
		must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	})
	t.Cleanup(free)
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		open = append(open, f)
	}
	if len(open) > 0 {
		open[len(open)-1].Close()
	}
	return free
}

// The copy takes the last file descriptor, and so the folder cannot be opened to be flushed. Not parallel: other tests
// need descriptors.
func TestLostDatabaseIsPutBackWithTheLastFileDescriptor(t *testing.T) {
	s, path, log := logged(t, boltstore.Options{})
	free := leaveOneDescriptor(t)
	last, err := os.Open(os.DevNull)
	must(t, err)
	must(t, s.CheckWritable(t.Context())) // a restart could open it
	must(t, last.Close())
	must(t, os.Remove(path))
	awaitFailure(t, s, "all 10 accounts were put back at the path")
	free()
	storetest.Close(t, s)
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "was put back") {
		t.Errorf("log:\n%s", log)
	}
	wantFiles(t, path+".rescued-*", 0)
	wantAccounts(t, path, 10)
}

// The process that saved the accounts would save them again, over what another one wrote.
func TestCopyAtThePathHasOneOwnerToo(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, os.Remove(path))
	awaitFailure(t, s, "all 10 accounts were put back")
	refused(t, path, boltstore.Options{OpenTimeout: 50 * time.Millisecond}, "another process")
	storetest.Close(t, s)
	wantAccounts(t, path, 10)
}

func TestAccountsThatAreLostAgainAreSavedAgain(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, os.Remove(path))
	awaitFailure(t, s, "all 10 accounts were put back")
	must(t, os.Remove(path))
	if err := s.Failure(); strings.Contains(err.Error(), "were put back") {
		t.Errorf("Failure = %v; the file is not there", err)
	}
	awaitFailure(t, s, "all 10 accounts were put back")
	must(t, os.Remove(path))
	storetest.Close(t, s)
	wantAccounts(t, path, 10)
}

func TestReplacedDatabaseIsKeptBesideAndNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	for name, noticed := range map[string]bool{"noticed by a check": true, "noticed by the stop": false} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 20)
			otherPath := closed(t, 3)
			must(t, os.Rename(otherPath, path))
			before := readFile(t, path)
			if noticed {
				awaitFailure(t, s, "its 20 accounts are kept in "+path+".rescued-")
			}
			storetest.Close(t, s)
			wantWords(t, s.Failure(), "its 20 accounts are kept in "+path+".rescued-")
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the file that was put there was changed: %v", err)
			}
			copies := wantFiles(t, path+".rescued-*", 1)
			wantAccounts(t, copies[0], 20)
			wantAccounts(t, path, 3)
		})
	}
}

// While no copy can be made, this process has the last one.
func TestAccountsThatCannotBeSavedAreKeptUntilTheyCan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose  func(t *testing.T, dir string, unmount func()) (mend func())
		words string // of what is wrong
		write error
		after string // what becomes of the accounts then; "" is service
	}{
		"its folder is gone": {func(t *testing.T, dir string, _ func()) func() {
			must(t, os.RemoveAll(filepath.Join(dir, "data")))
			return func() { must(t, os.Mkdir(filepath.Join(dir, "data"), 0o700)) }
		}, "no such file or directory", store.ErrUnavailable, "all 2000 accounts were put back"},
		"its folder takes no files": {func(t *testing.T, dir string, _ func()) func() {
			must(t, os.Remove(filepath.Join(dir, "data", "accounts.db")))
			return harness.ReadOnly(t, filepath.Join(dir, "data"))
		}, "read-only file system", store.ErrUnavailable, "all 2000 accounts were put back"},
		"no room": {func(t *testing.T, dir string, _ func()) func() {
			filler := harness.Fill(t, dir)
			must(t, os.Remove(filepath.Join(dir, "data", "accounts.db")))
			return func() { must(t, os.Remove(filler)) }
		}, "its copy takes", store.ErrNoSpace, "all 2000 accounts were put back"}, // known before one byte of others' room is taken
		"no room, and another file at the path": {func(t *testing.T, dir string, _ func()) func() {
			_, otherPath := seeded(t, 3)
			b := readFile(t, otherPath)
			other := filepath.Join(dir, "other")
			writeFile(t, other, b)
			filler := harness.Fill(t, dir)
			must(t, os.Rename(other, filepath.Join(dir, "data", "accounts.db")))
			return func() { must(t, os.Remove(filler)) }
		}, "its copy takes", store.ErrNoSpace, "its 2000 accounts are kept in "},
		"no room, and the file comes back": {func(t *testing.T, dir string, _ func()) func() {
			path, filler := filepath.Join(dir, "data", "accounts.db"), harness.Fill(t, dir)
			must(t, os.Rename(path, path+".moved"))
			return func() { must(t, errors.Join(os.Rename(path+".moved", path), os.Remove(filler))) }
		}, "its copy takes", store.ErrNoSpace, ""},
		// a copy in the folder beneath would be hidden by the next mount
		"its file system is unmounted": {func(t *testing.T, dir string, unmount func()) func() {
			again := t.TempDir()
			if err := syscall.Mount(dir, again, "", syscall.MS_BIND, ""); err != nil {
				t.Skipf("needs the right to mount: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(again, syscall.MNT_DETACH) })
			unmount()
			must(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
			return func() { must(t, syscall.Mount(again, dir, "", syscall.MS_BIND, "")) }
		}, "mount that again", store.ErrUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			unmount := harness.SmallDisk(t, dir, "size=32m")
			path := filepath.Join(dir, "data", "accounts.db")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			s := seededAt(t, path, 2000)
			mend := c.lose(t, dir, unmount)
			awaitUnsaved(t, s, c.words)
			wantName(t, s, "10000", "Person_0")
			wantErr(t, putName(t, s, "10000", "lost"), c.write)
			must(t, s.CheckWrite(t.Context()))
			must(t, s.Failure())
			mend()
			want := "lost"
			if c.after != "" {
				awaitFailure(t, s, c.after)
				want = "Person_0"
			} else {
				await(t, "writes", func() bool { return putName(t, s, "10000", want) == nil })
				must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
			}
			storetest.Close(t, s)
			again := openAt(t, path)
			wantName(t, again, "10000", want)
			storetest.Close(t, again)
			wantFiles(t, filepath.Join(filepath.Dir(path), ".*"), 0)
		})
	}
}

// The file can go just before the stop, when nothing has noticed it yet. Then nothing is lost, and it is a good end.
func TestFileLostJustBeforeTheStopIsPutBack(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 30)
			lose(t, path)
			storetest.Close(t, s)
			must(t, s.Failure())
			wantAccounts(t, path, 30)
		})
	}
}

func TestStopWaitsForACopyUnderWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, path := heavy(t, dir, 8), filepath.Join(dir, "accounts.db")
	must(t, os.Remove(path))
	await(t, "a copy under way", func() bool {
		err := s.CheckRecords(t.Context())
		return err != nil && strings.Contains(err.Error(), "are being copied") || s.Failure() != nil
	})
	up, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(up); err != nil && !errors.Is(err, context.Canceled) { // it was over before Close looked
		t.Errorf("Close during a copy, with its time up = %v", err)
	}
	wantAccounts(t, path, 8*64)
}

// A mount of the file alone leads to it though its original is gone.
func TestFileMountedAloneAndDeletedWhereItComesFromIsFoundAndSaved(t *testing.T) {
	t.Parallel()
	original := closed(t, 10)
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeFile(t, path, nil)
	if err := syscall.Mount(original, path, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
	s := openAt(t, path)
	must(t, s.Check(t.Context()))
	must(t, os.Remove(original))
	wantErr(t, putName(t, s, "10000", "lost"), store.ErrUnavailable)
	awaitFailure(t, s, "its 10 accounts are kept in "+path+".rescued-")
}

// The path can stop leading to the file in ways that say nothing of it.
func TestPathThatCannotBeSeenTakesNoWritesAndEndsNobody(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, os.Rename(path, path+".moved"))
	must(t, os.Symlink(path, path)) // a loop
	await(t, "no writes", func() bool { return errors.Is(putName(t, s, "10000", "x"), store.ErrUnavailable) })
	awaitUnsaved(t, s, "too many levels of symbolic links")
	wantName(t, s, "10000", "Person_0")
	must(t, os.Remove(path))
	must(t, os.Rename(path+".moved", path))
	await(t, "writes", func() bool { return putName(t, s, "10000", "x") == nil })
}

func TestDeletedFileBehindALoopIsSaved(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, os.Remove(path))
	must(t, os.Symlink(path, path))
	awaitFailure(t, s, "its 10 accounts are kept in "+path+".rescued-")
}

func TestCopyThatIsChangedInPlaceIsSavedAgain(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	must(t, os.Remove(path))
	awaitFailure(t, s, "were put back at the path")
	must(t, os.Truncate(path, 0))
	awaitFailure(t, s, "its 10 accounts are kept in "+path+".rescued-")
}

// Whatever takes the copies away again and again, the disk is not filled with them.
func TestCopiesOfOneProcessAreBounded(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	s.RescueForTest(boltstore.MaxCopies-2, 0)
	for range 2 {
		must(t, os.Remove(path))
		awaitFailure(t, s, "all 10 accounts were put back")
	}
	must(t, os.Remove(path))
	awaitFailure(t, s, "is gone or changed since; after 8 copies no more are made")
	storetest.Close(t, s)
	wantFiles(t, path+"*", 1) // the witness
}

func TestDeletedFileOfAStoreThatFailedIsSaved(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	s.LatchForTest(errors.New("a commit failed"))
	must(t, os.Remove(path))
	await(t, "the file at its path", func() bool { _, err := os.Stat(path); return err == nil })
	storetest.Close(t, s)
	wantAccounts(t, path, 10)
}

func TestOddWitnessStopsNoStartAndIsMadeAnew(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, c := range map[string]struct {
		spoil func(path string) error
		warns string
	}{
		"a FIFO":              {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "is no regular file (p"},
		"a folder":            {func(p string) error { return os.Mkdir(p, 0o700) }, "is no regular file (d"},
		"a loop":              {func(p string) error { return os.Symlink(p, p) }, "is a symbolic link"},
		"a link to nowhere":   {func(p string) error { return os.Symlink("/nowhere/none", p) }, "is a symbolic link"},
		"a link to elsewhere": {func(p string) error { return os.Symlink(elsewhere, p) }, "is a symbolic link"},
		"another program's":   {func(p string) error { return os.WriteFile(p, []byte("hello"), 0o600) }, ""},
		"another database's": {func(p string) error {
			return os.WriteFile(p, []byte("database: ANOTHER\ntransaction: 7\n"), 0o600)
		}, "another database than before"},
		"3 GiB": {func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 3<<30))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, elsewhere, []byte("theirs"))
			path := closed(t, 10)
			must(t, os.Remove(path+".witness"))
			must(t, c.spoil(path+".witness"))
			s, log, err := tryOpen(t, path, boltstore.Options{})
			must(t, err)
			storetest.Close(t, s)
			if !strings.Contains(log.String(), c.warns) {
				t.Errorf("the log has no %q: %s", c.warns, log)
			}
			if text, err := os.ReadFile(elsewhere); string(text) != "theirs" || err != nil {
				t.Errorf("where the link leads is %q, %v", text, err)
			}
			if name == "a folder" { // which no rename replaces
				return
			}
			if info, err := os.Lstat(path + ".witness"); err != nil || !info.Mode().IsRegular() || info.Size() > 1000 {
				t.Errorf("it is %v, %v", info, err)
			}
		})
	}
}

func TestLostDatabaseWithARescuedCopyIsNoFirstStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeFile(t, path+".rescued-2026", []byte("x"))
	refused(t, path, boltstore.Options{}, path+".rescued-2026")
}

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
