package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// closings close the way to a file that stays where it is.
var closings = map[string]struct {
	close func(t *testing.T, dir string) (open func())
	words string
}{
	"a link on the way leads to itself": {func(t *testing.T, dir string) func() {
		link := filepath.Join(dir, "link")
		must(t, os.Remove(link))
		must(t, os.Symlink(link, link))
		return func() { must(t, errors.Join(os.Remove(link), os.Symlink(filepath.Join(dir, "data"), link))) }
	}, "symbolic link"},
	"no permission for a folder": {func(t *testing.T, dir string) func() {
		if os.Geteuid() != 0 {
			t.Skip("needs root, to become another user")
		}
		must(t, os.Chmod(filepath.Join(dir, "data"), 0o600))
		must(t, syscall.Setresuid(-1, 65534, -1))
		open := func() {
			must(t, errors.Join(syscall.Setresuid(-1, 0, -1), os.Chmod(filepath.Join(dir, "data"), 0o700)))
		}
		t.Cleanup(open)
		return open
	}, "permission denied"},
	"an attribute of the file": {func(t *testing.T, dir string) func() {
		path := filepath.Join(dir, "data", "accounts.db")
		if said, err := exec.Command("chattr", "+a", path).CombinedOutput(); err != nil {
			t.Skipf("needs root and a file system with attributes: %v %s", err, said)
		}
		open := func() { must(t, exec.Command("chattr", "-i", "-a", path).Run()) } // as the error says
		t.Cleanup(open)
		refused(t, path, boltstore.Options{}, "chattr -i -a")
		return open
	}, "chattr -i -a"},
}

func TestClosedPathOfAFileThatHasNotMovedIsSaidAndEverythingGoesOn(t *testing.T) {
	for name, c := range closings {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
			must(t, os.Symlink(filepath.Join(dir, "data"), filepath.Join(dir, "link")))
			path := filepath.Join(dir, "link", "accounts.db")
			s := openAt(t, path)
			must(t, s.CheckWritable(t.Context()))
			open := c.close(t, dir)
			must(t, putName(t, s, "1", "meanwhile"))
			wantName(t, s, "1", "meanwhile")
			must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
			wantWords(t, s.CheckWritable(t.Context()), c.words, "a restart could not open")
			open()
			must(t, s.CheckWritable(t.Context()))
			storetest.Close(t, s)
			wantName(t, openAt(t, path), "1", "meanwhile")
			wantFiles(t, filepath.Join(dir, "data", "*resc*"), 0)
		})
	}
}

// A restart by a user who may enter the folder would find another file there, or none.
func TestLinkThatWasReplacedOnTheWayToAClosedFolderStopsWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	for name, replace := range map[string]func(t *testing.T, dir, closed string){
		"by another link": func(t *testing.T, dir, closed string) {
			must(t, os.Symlink(closed, filepath.Join(dir, "inner")))
		},
		"by the folder": func(t *testing.T, dir, closed string) {
			must(t, os.Rename(closed, filepath.Join(dir, "inner")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			closed := filepath.Join(dir, "closed")
			must(t, errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o700), os.Mkdir(closed, 0o600),
				os.Symlink("data", filepath.Join(dir, "inner")), os.Symlink("inner", filepath.Join(dir, "outer"))))
			s := openAt(t, filepath.Join(dir, "outer", "accounts.db"))
			must(t, os.Remove(filepath.Join(dir, "inner")))
			replace(t, dir, closed)
			must(t, errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)))
			must(t, syscall.Setresuid(-1, 65534, -1))
			err := putName(t, s, "1", "lost")
			must(t, syscall.Setresuid(-1, 0, -1))
			wantErr(t, err, store.ErrUnavailable)
		})
	}
}

// A restart would find what is mounted over the file, and not the file.
func TestFileUnderAMountThatCannotBeSeenTakesNoWrites(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b") // the kernel escapes the space
	must(t, os.Mkdir(dir, 0o700))
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	end := injectorOf(t, s).fail(t, "newfstatat:error=EACCES")
	must(t, putName(t, s, "1", "x"))
	unmount := harness.SmallDisk(t, dir, "size=1m")
	wantErr(t, putName(t, s, "1", "hidden"), store.ErrUnavailable)
	unmount()
	await(t, "writes", func() bool { return putName(t, s, "1", "x") == nil })
	end()
}

// What the path says does not matter as long as the kernel says where the file is.
func TestErrorOfThePathCountsOnlyIfTheFileMayHaveMoved(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"ESTALE", "EACCES", "ELOOP", "EPERM", "ENAMETOOLONG", "EHOSTDOWN"} {
		for name, c := range map[string]struct {
			move func(path string) error
			want error
		}{
			"it has not":     {func(string) error { return nil }, nil},
			"moved away":     {func(path string) error { return os.Rename(path, path+".moved") }, store.ErrUnavailable},
			"deleted":        {os.Remove, store.ErrUnavailable},
			"folder renamed": {func(p string) error { return os.Rename(filepath.Dir(p), filepath.Dir(p)+".moved") }, store.ErrUnavailable},
		} {
			t.Run(fmt.Sprint(errno, ", ", name), func(t *testing.T) {
				s, path := seeded(t, 10)
				end := injectorOf(t, s).fail(t, "newfstatat:error="+errno)
				must(t, c.move(path))
				wantErr(t, putName(t, s, "10000", "x"), c.want)
				if end() == 0 {
					t.Error("the path was not asked for")
				}
			})
		}
	}
}

// vfat and some network file systems have no hard links; mergerfs has none between its branches.
func TestFileSystemWithoutHardLinksCreatesAndPutsBack(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"EPERM", "EOPNOTSUPP", "ENOSYS", "EXDEV"} {
		t.Run(errno, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "accounts.db")
			end := injectorHere(t).fail(t, "linkat:error="+errno)
			s := openAt(t, path)
			if end() != 1 {
				t.Error("the new database was not linked")
			}
			must(t, putName(t, s, "1", "saved"))
			end = injectorOf(t, s).fail(t, "linkat:error="+errno)
			must(t, os.Remove(path))
			await(t, "the copy at the path", func() bool { return s.Failure() != nil })
			if end() != 1 || !strings.Contains(s.Failure().Error(), "were put back at the path") {
				t.Errorf("Failure = %v, want it put back", s.Failure())
			}
			storetest.Close(t, s)
			wantName(t, openAt(t, path), "1", "saved")
		})
	}
}

// The process that held the lock may leave another file at the path, or none.
func TestFileThatIsReplacedWhileAStartWaitsForItsLockIsNotOpened(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose  func(t *testing.T, path string)
		words string
	}{
		"replaced": {func(t *testing.T, path string) {
			other := closed(t, 3)
			must(t, os.Rename(other, path))
		}, "another file was put there while it was opened"},
		"deleted": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := closed(t, 10)
			holder, err := os.Open(path)
			must(t, err)
			defer holder.Close()
			must(t, syscall.Flock(int(holder.Fd()), syscall.LOCK_EX))
			_, _, err = tryOpen(t, path, boltstore.Options{OpenTimeout: 10 * time.Second, Waiting: func(string) {
				c.lose(t, path)
				holder.Close()
			}})
			wantWords(t, err, c.words)
		})
	}
}

// leafAt returns the number of a page that a copy reads first of a row, and that holds accounts.
func leafAt(t *testing.T, path string) (row int, page uint64, keys []string) {
	t.Helper()
	const rowSize = 64 << 10        // bytes read at once
	_, next := leafOf(t, path, nil) // a start needs the first one
	for next != nil {
		leaf, after := leafOf(t, path, next)
		if at := (int64(leaf.ID) - 2) * 4096; at%rowSize == 0 {
			for i := range leaf.Count {
				keys = append(keys, string(leaf.Key(i)))
			}
			return int(at / rowSize), leaf.ID, keys
		}
		next = after
	}
	t.Fatal("no such page")
	return 0, 0, nil
}

// The medium can fail under one page of a file whose last name is gone.
func TestDeletedDatabaseWithAPageThatCannotBeReadKeepsTheOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.db")
	s, log, err := tryOpen(t, path, boltstore.Options{})
	must(t, err)
	must(t, errOf(s.Seed(t.Context(), store.Fakes(3000))))
	row, page, keys := leafAt(t, path)
	inject := injectorOf(t, s)
	s.RescueForTest(0, time.Hour) // the stop tries, and nothing before
	must(t, os.Remove(path))
	const before = 4 // reads: of the two meta pages, when a read transaction begins and to copy them
	end := inject.fail(t, fmt.Sprintf("pread64:error=EIO:when=%d..%d", before+row+1, before+row+2))
	storetest.Close(t, s)
	if end() != 2 {
		t.Fatal("no page was unreadable")
	}
	left := 3000 - len(keys)
	unread := fmt.Sprintf("pages that cannot be read: %d: ", page)
	wantWords(t, s.Failure(), fmt.Sprint(left, " accounts were put back at the path"), unread)
	if !strings.Contains(log.String(), unread) {
		t.Errorf("the log does not name the page:\n%s", log)
	}
	s = openAt(t, path)
	must(t, s.Check(t.Context()))
	await(t, "a failing CheckRecords", func() bool { err = s.CheckRecords(t.Context()); return err != nil })
	wantWords(t, err, fmt.Sprintf("page %d ", page))
	for acc := range store.Fakes(3000) {
		_, err := s.Get(t.Context(), acc.ID)
		if lost := slices.Contains(keys, string(acc.ID)); errors.Is(err, store.ErrUnavailable) != lost || !lost && err != nil {
			t.Fatalf("Get %s = %v, want it unavailable: %v", acc.ID, err, lost)
		}
	}
	must(t, putName(t, s, "new", "x"))
}

func TestFolderThatCannotBeWrittenNamesTheUser(t *testing.T) {
	dir := t.TempDir()
	must(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)))
	if os.Geteuid() == 0 { // root may write anywhere
		must(t, syscall.Setresuid(-1, 65534, -1))
		t.Cleanup(func() { must(t, syscall.Setresuid(-1, 0, -1)) })
	}
	refused(t, filepath.Join(dir, "accounts.db"), boltstore.Options{}, "cannot create a file in its folder", fmt.Sprint("this process is user ", os.Geteuid()))
}
