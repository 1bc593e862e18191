package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// closedWith returns the path of a closed database whose account 10000 was
// changed last, and which of its meta pages is the newest.
func closedWith(t *testing.T, name string) (path string, newest int64) {
	t.Helper()
	s, path := seeded(t, 10)
	must(t, putName(t, s, "10000", name))
	newest = int64(metaAt(t, path).TxID % 2)
	storetest.Close(t, s)
	return path, newest
}

func TestDamagedNewestMetaIsRefusedUnlessAccepted(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int64{"magic": boltfile.HeaderSize, "root": boltfile.HeaderSize + 16, "transaction": boltfile.HeaderSize + 48, "checksum": boltfile.HeaderSize + 56} {
		t.Run(name, func(t *testing.T) {
			path, newest := closedWith(t, "Last")
			spoil(t, path, newest*4096+at, []byte{0xa5, 0xa5})
			refused(t, path, boltstore.Options{}, "store.bolt.accept_older_meta")
			s, log, err := tryOpen(t, path, boltstore.Options{AcceptOlderMeta: true})
			must(t, err)
			wantName(t, s, "10000", "Person_0")
			must(t, s.Check(t.Context()))
			if !strings.Contains(log.String(), "damaged") {
				t.Errorf("log %q says nothing", log.String())
			}
			storetest.Close(t, s)
			openAt(t, path)
		})
	}
}

func TestDamagedOlderMetaIsMended(t *testing.T) {
	t.Parallel()
	path, newest := closedWith(t, "Last")
	spoil(t, path, (1-newest)*4096+boltfile.HeaderSize, []byte{0})
	copied, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	must(t, err)
	defer copied.Close()
	v, err := boltstore.BackupFile(t.Context(), boltstore.Options{Path: path}, copied)
	if err != nil || !v.Intact || v.Accounts != 10 {
		t.Errorf("a copy of it has %d accounts, %v, %v; want it whole", v.Accounts, v.Findings, err)
	}
	s := openAt(t, path)
	wantName(t, s, "10000", "Last")
	must(t, s.Check(t.Context()))
}

// Garbage does not say which transaction it was.
func TestMetaThatDoesNotSayItsTransactionIsTakenForTheNewest(t *testing.T) {
	t.Parallel()
	for older := range int64(2) {
		path, newest := closedWith(t, "Last")
		spoil(t, path, (newest+older)%2*4096+boltfile.HeaderSize, bytes.Repeat([]byte{0xa5}, 64))
		refused(t, path, boltstore.Options{}, boltfile.ErrNewestMeta.Error())
	}
}

func TestCheckFindsADamagedNewestMetaPage(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	spoilMeta(t, path, 0, []byte{0xa5})
	wantErr(t, s.Check(t.Context()), boltfile.ErrNewestMeta)
	wantErr(t, putName(t, s, "10000", "x"), store.ErrUnavailable)
}

// spoilMeta damages a meta page of a running store, the newest or the one before.
func spoilMeta(t *testing.T, path string, before uint64, with []byte) {
	t.Helper()
	page := int64(metaAt(t, path).TxID+before) % 2
	spoil(t, path, page*4096+boltfile.HeaderSize, with)
}

// The next commit writes it anew, so that it is no reason to end anything.
func TestDamagedOlderMetaOfARunningStoreIsAWarningUntilTheNextCommit(t *testing.T) {
	t.Parallel()
	garbage := bytes.Repeat([]byte{0xa5}, 64) // does not even say that it is the older one
	for name, write := range map[string]bool{"a write": true, "a stop": false} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 10)
			must(t, putName(t, s, "10000", "before"))
			spoilMeta(t, path, 1, garbage)
			before := readFile(t, path)
			must(t, s.Check(t.Context()))
			err := s.CheckRecords(t.Context())
			if warner, is := err.(interface{ Warning() string }); !is || !strings.Contains(warner.Warning(), "nothing is lost") {
				t.Errorf("CheckRecords = %v, want a warning", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("a check changed the file")
			}
			if write {
				err = putName(t, s, "10001", "after")
				must(t, errors.Join(err, s.Check(t.Context()), s.CheckRecords(t.Context())))
			}
			storetest.Close(t, s)
			wantName(t, openAt(t, path), "10000", "before")
		})
	}
}

// looksOlder is an open store, the bit of its newest meta page with which that looks like the older, and where the page
// is.
func looksOlder(t *testing.T) (s *boltstore.Store, path string, b bitPosition, page int64) {
	t.Helper()
	s, path = seeded(t, 10)
	for first := true; first || metaAt(t, path).TxID&2 == 0; first = false { // a number whose 2 can get lost
		must(t, putName(t, s, "10000", "Last"))
	}
	page = int64(metaAt(t, path).TxID%2) * 4096
	return s, path, bitPosition{page + boltfile.HeaderSize + 48, 2}, page
}

// A process that was killed leaves a witness of an earlier transaction.
func TestFlippedBitOfATransactionsNumberDoesNotMakeTheNewestMetaTheOlder(t *testing.T) {
	t.Parallel()
	s, path, b, page := looksOlder(t)
	killed, served := filepath.Join(t.TempDir(), "accounts.db"), filepath.Join(t.TempDir(), "accounts.db")
	b.flipped(t, path, func() {
		writeFile(t, killed, readFile(t, path))
		wantErr(t, s.Check(t.Context()), boltfile.ErrNewestMeta)
	})
	refused(t, killed, boltstore.Options{}, boltfile.ErrNewestMeta.Error())
	b.at += 4096 - 2*page // the older page: nothing is lost by it
	b.flipped(t, path, func() { writeFile(t, served, readFile(t, path)) })
	wantName(t, openAt(t, served), "10000", "Last")
}

func TestNewestMetaThatLooksOlderIsRefusedByTheWitness(t *testing.T) {
	t.Parallel()
	s, path, b, page := looksOlder(t)
	storetest.Close(t, s)
	b.flipped(t, path, func() {
		spoil(t, path, page+boltfile.HeaderSize+56, []byte{0xa5, 0xa5}) // of the checksum, which would tell
		refused(t, path, boltstore.Options{}, boltfile.ErrNewestMeta.Error())
		wantErr(t, errOf(boltstore.OpenReader(t.Context(), boltstore.Options{Path: path})), boltfile.ErrNewestMeta)
	})
}

// A bound that only the newer page gives must be kept.
func TestFileIsMeasuredByItsNewestMeta(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 10)
	old := metaAt(t, path)
	for i := range 500 {
		draft := store.Draft{Name: strings.Repeat("y", 256)}
		must(t, errOf(s.Put(t.Context(), store.ID(fmt.Sprint("long", i)), draft, store.Preconditions{})))
		now := metaAt(t, path)
		if now.HighWater > old.HighWater && now.TxID%2 == 1 {
			storetest.Close(t, s)
			must(t, os.Truncate(path, now.Size()-1))
			refused(t, path, boltstore.Options{}, "is cut short") // by the second page's bound
			return
		}
		if now.TxID%2 == 0 {
			old = now
		}
	}
	t.Fatal("the file never grew by a transaction of the second page")
}

func TestLostBucketOfOursIsNotTakenForTheTutorials(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 3)
	must(t, s.CommitForTest(dropBucket(boltfile.MetaBucket)))
	storetest.Close(t, s)
	refused(t, path, boltstore.Options{}, string(boltfile.MetaBucket))
}

func TestOlderStateOfTheDatabaseIsSaidInTheLog(t *testing.T) {
	t.Parallel()
	path, _ := setBack(t)
	for _, said := range []bool{true, false} {
		s, log, err := tryOpen(t, path, boltstore.Options{})
		must(t, err)
		storetest.Close(t, s)
		if got := strings.Contains(log.String(), "older state"); got != said {
			t.Errorf("log %q, want it said: %v", log.String(), said)
		}
	}
}
