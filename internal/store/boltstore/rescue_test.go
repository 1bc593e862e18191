package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// awaitNote waits until the store says what became of its accounts.
func awaitNote(t *testing.T, s *Store, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := s.Check(ctx)
		if err != nil && strings.Contains(err.Error(), want) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("Check = %v, want %q", err, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func all(t *testing.T, s *Store) (accounts []store.Account) {
	t.Helper()
	for q := (store.Query{Limit: maxScan}); ; {
		page, err := s.List(t.Context(), q)
		must(t, err)
		accounts = append(accounts, page.Accounts...)
		if q.After = page.Next; q.After == "" {
			return accounts
		}
	}
}

func TestReplacementThatOnlyCloseNoticesIsAFailure(t *testing.T) {
	s, path := seeded(t, 20)
	other, otherPath := seeded(t, 3)
	storetest.Close(t, other)
	must(t, os.Rename(otherPath, path))
	if err := s.Failure(); err != nil {
		t.Errorf("before Close: %v", err)
	}
	storetest.Close(t, s)
	if err := s.Failure(); err == nil || !strings.Contains(err.Error(), "its 20 accounts are kept in "+path+".rescued-") {
		t.Errorf("after Close: %v, want where the accounts are", err)
	}
}

func TestReplacedDatabaseIsKeptBesideAndNothingIsOverwritten(t *testing.T) {
	s, path := seeded(t, 20)
	other, otherPath := seeded(t, 3)
	storetest.Close(t, other)
	must(t, os.Rename(otherPath, path))
	before, err := os.ReadFile(path)
	must(t, err)
	awaitNote(t, s, "its 20 accounts are kept in "+path+".rescued-")
	storetest.Close(t, s)
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file that was put there was changed: %v", err)
	}
	copies, err := filepath.Glob(path + ".rescued-*")
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies %q, %v; want one", copies, err)
	}
	if n := len(all(t, openAt(t, copies[0]))); n != 20 {
		t.Errorf("the copy has %d accounts, want 20", n)
	}
	if n := len(all(t, openAt(t, path))); n != 3 {
		t.Errorf("the restored file has %d accounts, want 3", n)
	}
}

func TestLostFolderIsSaidNotHidden(t *testing.T) {
	s, path := seeded(t, 10)
	must(t, os.RemoveAll(filepath.Dir(path)))
	awaitNote(t, s, "its accounts could not be saved")
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder: %v", err)
	}
}

func TestDamagedLastCopyIsKeptAndNotServed(t *testing.T) {
	s, path := seeded(t, 20)
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { return tx.Bucket(boltfile.AccountBucket).Put([]byte("10005"), []byte("?")) }))
	must(t, os.Remove(path))
	awaitNote(t, s, "are kept in "+path+".rescued-")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("at the path: %v, want nothing", err)
	}
}

// mountSmall puts another file system on a folder.
func mountSmall(t *testing.T, dir string) (unmount func()) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	var once sync.Once
	unmount = func() { once.Do(func() { syscall.Unmount(dir, syscall.MNT_DETACH) }) }
	t.Cleanup(unmount)
	return unmount
}

func TestNothingIsPutWhereAnotherFileSystemIs(t *testing.T) {
	dir := t.TempDir()
	unmount := mountSmall(t, dir)
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	unmount()
	awaitNote(t, s, "mount that again")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the folder beneath has %v, %v; want nothing", left, err)
	}
}

// A mount of the file alone leads to it though its original is gone.
func TestFileMountedAloneAndDeletedWhereItComesFromIsFoundAndSaved(t *testing.T) {
	s, original := seeded(t, 10)
	storetest.Close(t, s)
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeFile(t, path, nil)
	if err := syscall.Mount(original, path, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
	s = openAt(t, path)
	must(t, s.Check(t.Context()))
	must(t, os.Remove(original))
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "lost"}, store.Preconditions{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	awaitNote(t, s, "its 10 accounts are kept in "+path+".rescued-")
}

func TestDamagedListOfFreePagesIsFoundBeforeACommitBelievesIt(t *testing.T) {
	s, path := seeded(t, 10)
	m, err := boltfile.InspectFile(s.handle().file)
	must(t, err)
	spoil(t, path, int64(m.Freelist)*m.PageSize+8, []byte{0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5})
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "x"}, store.Preconditions{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "free pages") {
		t.Errorf("Put = %v, want ErrUnavailable and the list of free pages", err)
	}
}
