package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// onFullDisk opens a database of 20,000 accounts on a disk that is then filled,
// and deletes its file.
func onFullDisk(t *testing.T, opts Options) (s *Store, filler string) {
	t.Helper()
	dir := t.TempDir()
	mountSmall(t, dir)
	opts.Path, opts.OpenTimeout = filepath.Join(dir, "accounts.db"), time.Second
	s, err := Open(t.Context(), opts)
	must(t, err)
	t.Cleanup(func() { s.Close(context.Background()) })
	_, err = s.Seed(t.Context(), store.Fakes(20_000))
	must(t, err)
	filler = filepath.Join(dir, "filler")
	fillDisk(t, filler)
	must(t, os.Remove(s.path))
	return s, filler
}

// awaitNoRoom waits until a rescue was tried in vain.
func awaitNoRoom(t *testing.T, s *Store) {
	t.Helper()
	await(t, "a try without room", func() bool {
		s.reportLost()
		now := s.saving.Load()
		return now != nil && now.full != nil
	})
}

// fillDisk writes a file until there is no room for more.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	must(t, f.Close())
}

// A new process would have no accounts, so this one waits for room with them.
func TestDatabaseDeletedOnAFullDiskIsPutBackWhenThereIsRoom(t *testing.T) {
	s, filler := onFullDisk(t, Options{})
	awaitNoRoom(t, s)
	must(t, s.Check(t.Context()))
	if err := s.CheckRecords(t.Context()); err == nil || !noSpace(err) || !strings.Contains(err.Error(), "do not stop this process") ||
		!strings.Contains(err.Error(), "its copy takes") { // known before one byte of others' room is taken
		t.Errorf("CheckRecords = %v, want what is to be done", err)
	}
	if acc, err := s.Get(t.Context(), "10000"); err != nil || acc.Name != "Person_0" {
		t.Errorf("Get = %+v, %v; want that reading goes on", acc, err)
	}
	for range 2 {
		if _, err := s.Put(t.Context(), "10000", store.Draft{Name: "lost"}, store.Preconditions{}); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("Put = %v, want ErrNoSpace", err)
		}
		next := s.saving.Load().next
		await(t, "one more try", func() bool { s.reportLost(); return s.saving.Load().next.After(next) })
	}
	// each try in vain makes a file of its own, and removes it
	for _, half := range s.temporary(filepath.Dir(s.path), "rescue-") {
		await(t, half+" removed", func() bool {
			_, err := os.Lstat(half)
			return errors.Is(err, os.ErrNotExist)
		})
	}
	must(t, os.Remove(filler))
	awaitBack(t, s)
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { // in the committer, whose they are
		if n := len(s.rescues); n != 1 {
			t.Errorf("%d losses are counted: a try in vain is none", n)
		}
		return putName("10000", "after")(tx)
	}))
	path := s.path
	storetest.Close(t, s)
	if n := len(all(t, openAt(t, path))); n != 20_000 {
		t.Errorf("%d accounts, want 20000", n)
	}
}

func TestReserveMakesRoomForARescue(t *testing.T) {
	s, _ := onFullDisk(t, Options{Reserve: 16 << 20})
	awaitBack(t, s)
	storetest.Close(t, s)
	if n := len(all(t, openAt(t, s.path))); n != 20_000 {
		t.Errorf("%d accounts, want 20000", n)
	}
}

func TestStopWithoutRoomForTheAccountsIsAFailure(t *testing.T) {
	s, _ := onFullDisk(t, Options{})
	awaitNoRoom(t, s)
	must(t, s.Failure())
	storetest.Close(t, s)
	if err := s.Failure(); err == nil || !noSpace(err) || !strings.Contains(err.Error(), "could not be saved") {
		t.Errorf("Failure = %v, want that the accounts are lost", err)
	}
}

func TestFileThatComesBackToAFullDiskIsServedOn(t *testing.T) {
	s, _ := seeded(t, 10)
	s.saving.Store(&saving{reason: errReplaced, full: syscall.ENOSPC, next: time.Now().Add(time.Hour)})
	must(t, s.Check(t.Context()))
	await(t, "writes", func() bool {
		_, err := s.Put(t.Context(), "10000", store.Draft{Name: "after"}, store.Preconditions{})
		return err == nil
	})
}

// Reading goes on, and what the witness does not learn makes it only more careful.
func TestStoreStartsOnAFullDisk(t *testing.T) {
	for name, closed := range map[string]bool{"closed in order": true, "killed": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mountSmall(t, dir)
			path := filepath.Join(dir, "accounts.db")
			s := openAt(t, path)
			_, err := s.Seed(t.Context(), store.Fakes(10))
			must(t, err)
			if !closed {
				s.latch(errors.New("killed"))
			}
			storetest.Close(t, s)
			fillDisk(t, filepath.Join(dir, "filler"))

			for range 2 {
				s = openAt(t, path)
				if acc, err := s.Get(t.Context(), "10000"); err != nil || acc.Name != "Person_0" {
					t.Errorf("Get = %+v, %v", acc, err)
				}
				must(t, s.Check(t.Context()))
				known, err := testify(path)
				must(t, err)
				if known.id != s.handle().id || known.closed && known.txid == s.handle().committed.Load() {
					t.Errorf("the witness says %+v of an open database", known)
				}
				storetest.Close(t, s)
			}
		})
	}
}

func TestWitnessForgetsInPlaceThatTheDatabaseWasClosed(t *testing.T) {
	s, path := seeded(t, 10)
	storetest.Close(t, s)
	was, err := testify(path)
	must(t, err)
	before, err := os.Stat(witness(path))
	must(t, err)
	for range 2 {
		must(t, reopenWitness(path))
		now, err := testify(path)
		must(t, err)
		after, err := os.Stat(witness(path))
		must(t, err)
		if !was.closed || now != (testimony{was.id, was.txid, false}) || !os.SameFile(before, after) {
			t.Errorf("the witness says %+v, and said %+v", now, was)
		}
	}
}

func TestDamagedMetaThatAFullDiskKeepsFromBeingMendedIsSaid(t *testing.T) {
	s, path := seeded(t, 10)
	spoilMeta(t, s, path, 1, []byte{0xa5})
	s.saving.Store(&saving{reason: errReplaced, full: syscall.ENOSPC, next: time.Now().Add(time.Hour)}) // so that writes find no space
	must(t, s.mend(t.Context(), s.handle(), boltfile.ErrOlderMeta))
	s.saving.Store(nil)
	if err := s.CheckRecords(t.Context()); !errors.Is(err, boltfile.ErrOlderMeta) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("CheckRecords = %v, want the damage and the cure", err)
	}
	must(t, s.Check(t.Context())) // with space again
	must(t, s.Check(t.Context()))
	must(t, s.CheckRecords(t.Context()))
}
