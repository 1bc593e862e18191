package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

func TestPeekReturnsWhatGetDoes(t *testing.T) {
	s, _ := seeded(t, 100)
	_, err := s.Put(t.Context(), "a", store.Draft{Name: "<&>", Labels: map[string]string{"k": "v"}}, store.Preconditions{})
	must(t, err)
	for _, id := range []store.ID{"a", "10000", "10099"} {
		acc, err := s.Get(t.Context(), id)
		must(t, err)
		want, err := transfer.EncodeAnswer(acc)
		must(t, err)
		for range 2 { // from the pages, and from memory
			if got, known := s.Peek(id); !known || !reflect.DeepEqual(got, want) {
				t.Errorf("Peek(%s) = %+v, %v; want %+v", id, got, known, want)
			}
		}
	}
	if got, known := s.Peek("nobody"); known {
		t.Errorf("Peek of no account = %+v", got)
	}
}

func TestNothingIsAnsweredFromMemoryAfterAFailure(t *testing.T) {
	for name, fail := range map[string]func(*boltstore.Store){
		"latched": func(s *boltstore.Store) { s.LatchForTest(errors.New("ordered")) },
		"closed":  func(s *boltstore.Store) { s.Close(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := seeded(t, 1)
			must(t, errOf(s.Get(t.Context(), "10000")))
			fail(s)
			if _, known := s.Peek("10000"); known {
				t.Error("Peek answers")
			}
			_, err := s.Get(t.Context(), "10000")
			wantErr(t, err, store.ErrUnavailable)
		})
	}
}

// What is in memory is read again after a while, so that it hides no damage, and no database that is copied over the open
// one, in place.
func TestMemoryHidesNoFaultOfTheFileForLong(t *testing.T) {
	for name, fault := range map[string]func(t *testing.T, path string, older []byte){
		"a damaged record": func(t *testing.T, path string, _ []byte) { damage(t, path, "10000") },
		"an older state":   func(t *testing.T, path string, older []byte) { spoil(t, path, 0, older) },
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 1)
			older := readFile(t, path)
			for range 3 {
				must(t, putName(t, s, "10000", "new"))
			}
			must(t, errOf(s.Get(t.Context(), "10000")))
			fault(t, path, older)
			begun := time.Now()
			await(t, "a refusal", func() bool { return errors.Is(errOf(s.Get(t.Context(), "10000")), store.ErrUnavailable) })
			if hidden := time.Since(begun); hidden > 4*time.Second {
				t.Errorf("it was hidden for %s", hidden)
			}
		})
	}
}

// A reader of a list can see a commit before its writer is told. No later read may see less.
func TestWhatAListShowedIsNotUnseenByGet(t *testing.T) {
	s, _ := seeded(t, 1)
	must(t, errOf(s.Get(t.Context(), "10000")))
	commit := make(chan struct{})
	// bbolt writes the meta page last: a commit of its own stands for one whose sync takes its time
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
		tx.OnCommit(func() {
			defer close(commit)
			page, err := s.List(t.Context(), store.Query{Limit: 1})
			if err != nil || len(page.Accounts) != 1 || page.Accounts[0].Version != 2 {
				t.Errorf("the list shows %+v, %v; want version 2", page, err)
			}
			if acc, err := s.Get(t.Context(), "10000"); err != nil || acc.Version != 2 {
				t.Errorf("Get after it: version %d, %v", acc.Version, err)
			}
		})
		record, err := boltfile.EncodeAccount(store.Account{ID: "10000", Draft: store.Draft{Name: "new"}, Version: 2})
		must(t, err)
		return tx.Bucket(boltfile.AccountBucket).Put([]byte("10000"), record)
	}))
	<-commit
}

// The meta page of a commit that failed could be seen, and the system may take it back.
func TestNothingIsPeekedFromAFailedCommitUntilTheFileIsOpenedAnew(t *testing.T) {
	dir := t.TempDir()
	large := store.Draft{Name: "x", Labels: map[string]string{"k": strings.Repeat("日", store.MaxLabelLength)}}
	t.Cleanup(harness.SmallDisk(t, dir, "size=512k"))
	s := seededAt(t, filepath.Join(dir, "accounts.db"), 1)
	_, err := s.Get(t.Context(), "10000")
	for n := 0; err == nil; n++ {
		_, err = s.Put(t.Context(), store.ID(fmt.Sprint("large", n)), large, store.Preconditions{})
	}
	wantErr(t, err, store.ErrNoSpace)
	if acc, known := s.Peek("10000"); known {
		t.Errorf("Peek answers with %+v", acc.Account)
	}
	must(t, errOf(s.Get(t.Context(), "10000")))
	must(t, s.Delete(t.Context(), "large0", store.Preconditions{}))
	want, err := s.Get(t.Context(), "10000")
	must(t, err)
	if got, known := s.Peek("10000"); !known || !got.Account.Equal(want) {
		t.Errorf("after the file was opened anew, Peek = %+v, %v; want %+v", got, known, want)
	}
}
