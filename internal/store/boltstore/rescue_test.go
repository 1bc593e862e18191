package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// writeOn makes writers go on until the store refuses, and returns what was
// acknowledged.
func writeOn(t *testing.T, s *Store) (acked func() map[store.ID]store.Account) {
	t.Helper()
	var mu sync.Mutex
	all := make(map[store.ID]store.Account)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				w, err := s.Put(t.Context(), store.ID(fmt.Sprintf("w%d-%d", w, i)), store.Draft{Name: "x"}, store.Terms{})
				if err != nil {
					return
				}
				mu.Lock()
				all[w.Account.ID] = w.Account
				mu.Unlock()
			}
		})
	}
	return func() map[store.ID]store.Account { wg.Wait(); return all }
}

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

func TestDeletedDatabaseIsPutBackWithEveryAcknowledgedWrite(t *testing.T) {
	for name, remove := range map[string]func(string) error{
		"deleted":    os.Remove,
		"moved away": func(p string) error { return os.Rename(p, p+".moved") },
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 3000)
			acked := writeOn(t, s)
			for deadline := time.Now().Add(10 * time.Second); len(all(t, s)) < 3050; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the writers never wrote 50 accounts")
				}
			}
			must(t, remove(path))
			want := acked() // ends when the store refuses
			awaitNote(t, s, "were put back at the path")
			storetest.Close(t, s)
			again := openAt(t, path)
			for id, acc := range want {
				if got, err := again.Get(t.Context(), id); err != nil || !got.Equal(acc) {
					t.Errorf("%s = %+v, %v; want %+v", id, got, err, acc)
				}
			}
			if acc, err := again.Get(t.Context(), "12999"); err != nil || acc.Name != "Person_2999" {
				t.Errorf("seeded account = %+v, %v", acc, err)
			}
		})
	}
}

func all(t *testing.T, s *Store) []store.Account {
	t.Helper()
	page, err := s.List(t.Context(), store.Query{Limit: maxScan})
	must(t, err)
	if page.Next != "" {
		t.Fatalf("more than %d accounts", maxScan)
	}
	return page.Accounts
}

func TestDeletedDatabaseIsPutBackWithoutAnyWrite(t *testing.T) {
	s, path := seeded(t, 10)
	must(t, os.Remove(path))
	awaitNote(t, s, "all 10 accounts were put back")
	storetest.Close(t, s)
	if n := len(all(t, openAt(t, path))); n != 10 {
		t.Errorf("%d accounts, want 10", n)
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
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { return tx.Bucket(accountBucket).Put([]byte("10005"), []byte("?")) }))
	must(t, os.Remove(path))
	awaitNote(t, s, "are kept in "+path+".rescued-")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("at the path: %v, want nothing", err)
	}
}

func TestNothingIsPutWhereAnotherFileSystemIs(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	mounted := true
	unmount := func() {
		if mounted {
			syscall.Unmount(dir, syscall.MNT_DETACH)
		}
		mounted = false
	}
	t.Cleanup(unmount)
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	unmount()
	awaitNote(t, s, "mount that again")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the folder beneath has %v, %v; want nothing", left, err)
	}
}

func TestDamagedListOfFreePagesIsFoundBeforeACommitBelievesIt(t *testing.T) {
	s, path := seeded(t, 10)
	m, err := inspectFile(s.file)
	must(t, err)
	spoil(t, path, int64(m.freelist)*m.pageSize+8, []byte{0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5})
	if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "x"}, store.Terms{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "free pages") {
		t.Errorf("Put = %v, want ErrUnavailable and the list of free pages", err)
	}
}
