package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/transfer"
)

func TestPeekReturnsWhatGetDoes(t *testing.T) {
	s, _ := seeded(t, 100)
	_, err := s.Put(t.Context(), "a", store.Draft{Name: "<&>", Labels: map[string]string{"k": "v"}}, store.Preconditions{})
	must(t, err)
	for _, id := range []store.ID{"a", "10000", "10099"} {
		want, err := s.Get(t.Context(), id)
		must(t, err)
		for range 2 { // from the pages, and from memory
			if got, known := s.Peek(id); !known || !reflect.DeepEqual(got, encoded(t, want)) {
				t.Errorf("Peek(%s) = %+v, %v; want %+v", id, got, known, want)
			}
		}
	}
	if got, known := s.Peek("nobody"); known {
		t.Errorf("Peek of no account = %+v", got)
	}
	acc, err := s.Get(t.Context(), "a")
	must(t, err)
	acc.Labels["k"] = "the caller's own"
	if again, _ := s.Get(t.Context(), "a"); again.Labels["k"] != "v" {
		t.Errorf("the caller's change is stored: %v", again.Labels)
	}
}

func TestNothingIsAnsweredFromMemoryAfterAFailure(t *testing.T) {
	for name, fail := range map[string]func(*Store){
		"latched": func(s *Store) { s.latch.set(errors.New("ordered")) },
		"hung":    func(s *Store) { s.check.since.Store(int64(s.check.clock.Now() - s.check.hungAfter - time.Second)) },
		"closed":  func(s *Store) { s.Close(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := seeded(t, 1)
			if _, err := s.Get(t.Context(), "10000"); err != nil {
				t.Fatal(err)
			}
			fail(s)
			if _, known := s.Peek("10000"); known {
				t.Error("Peek answers")
			}
			_, err := s.Get(t.Context(), "10000")
			wantErr(t, err, store.ErrUnavailable)
		})
	}
}

// All places of reads are taken, as by a disk that hangs.
func TestPeekWaitsForNoOtherRead(t *testing.T) {
	s, _ := seeded(t, 2)
	_, err := s.Get(t.Context(), "10000") // so that a transaction is known
	must(t, err)
	for range maxReaders {
		s.readers <- struct{}{}
	}
	defer func() {
		for range maxReaders {
			<-s.readers
		}
	}()
	_, known := s.Peek("10001")
	if s.h.memo == (boltfile.Cached{}) {
		t.Skip("the page cache cannot be asked here")
	}
	if !known {
		t.Error("the page is in the page cache, and Peek does not know the account")
	}
}

// A database that is copied over the open one, in place, has whole pages of its own.
func TestForeignContentIsNotReadForLong(t *testing.T) {
	s, path := seeded(t, 1)
	older, err := os.ReadFile(path)
	must(t, err)
	for range 3 {
		_, err := s.Put(t.Context(), "10000", store.Draft{Name: "new"}, store.Preconditions{})
		must(t, err)
	}
	_, err = s.Get(t.Context(), "10000")
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(older, 0)
	must(t, err)
	await(t, "a refusal", func() bool {
		_, err := s.Get(t.Context(), "10000")
		return errors.Is(err, store.ErrUnavailable)
	})
}

// A record in memory is read again after a while, so that damage of it is not hidden.
func TestDamageIsNotHiddenByMemoryForLong(t *testing.T) {
	s, path := seeded(t, 1)
	_, err := s.Get(t.Context(), "10000")
	must(t, err)
	content, err := os.ReadFile(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	for at := 0; ; at++ {
		next := strings.Index(string(content[at:]), "Person_0")
		if next < 0 {
			break
		}
		at += next
		_, err := f.WriteAt([]byte("Q"), int64(at))
		must(t, err)
	}
	begun := time.Now()
	await(t, "the damage", func() bool {
		_, err := s.Get(t.Context(), "10000")
		return errors.Is(err, store.ErrUnavailable)
	})
	if hidden := time.Since(begun); hidden > recentFor+2*time.Second {
		t.Errorf("the damage was hidden for %s", hidden)
	}
}

func TestRecentKeepsNothingThatACommitReplaced(t *testing.T) {
	acc := func(version int64) *store.Encoded {
		return encoded(t, store.Account{ID: "a", Draft: store.Draft{Name: "x"}, Version: version})
	}
	for _, row := range []struct {
		what    string
		read    uint64 // transaction in which the account was read
		changed []store.ID
		kept    bool
	}{
		{"read before, and changed", 6, []store.ID{"a"}, false},
		{"read before, and another changed", 6, []store.ID{"b"}, true},
		{"read long before: one between may have changed it", 5, []store.ID{"b"}, false},
		{"read in the change itself", 7, []store.ID{"a"}, true},
		{"read after", 8, []store.ID{"a"}, true},
		{"read before, and more changed than are kept in mind", 6, make([]store.ID, maxChanged+1), false},
	} {
		r := newRecent()
		r.changing(6, nil)
		r.changing(7, row.changed)
		r.add(acc(1), row.read, 0)
		if _, _, kept := r.get("a"); kept != row.kept {
			t.Errorf("%s: kept %v", row.what, kept)
		}
	}
	r := newRecent()
	r.add(acc(1), 6, 0)
	r.changing(7, []store.ID{"a"})
	if got, _, kept := r.get("a"); kept {
		t.Errorf("kept over its change: %+v", got)
	}
}

func TestRecentIsBounded(t *testing.T) {
	r := newRecent()
	for n := range 20_000 {
		labels := map[string]string{"k": strings.Repeat("x", n%3000)}
		r.add(encoded(t, store.Account{ID: store.ID(fmt.Sprint(n)), Draft: store.Draft{Name: "x", Labels: labels}}), 1, 0)
	}
	size := 0
	for _, a := range r.accounts.Values() {
		size += a.cost()
	}
	if size != r.size || size > recentSize || size < recentSize/2 {
		t.Errorf("%d accounts of %d bytes, counted as %d; at most %d", r.accounts.Len(), size, r.size, recentSize)
	}
}

// Pages that a commit sets free are used again by the one after the next: a reader that is late must not take what they
// have then.
func TestLateReaderTakesNoPageThatIsUsedAgain(t *testing.T) {
	s, _ := seeded(t, 1000)
	put := func(name string) {
		_, err := s.Put(t.Context(), "10000", store.Draft{Name: name}, store.Preconditions{})
		must(t, err)
	}
	foreign := 0
	for n := range 20 {
		put(fmt.Sprint("old ", n))
		_, err := s.Get(t.Context(), "10000") // which publishes the transaction at the latest
		must(t, err)
		late := s.h.seen.Load()
		tree, err := late.snapshot.Bucket(boltfile.AccountBucket)
		must(t, err)
		put(fmt.Sprint("new ", n))
		acc, err := s.read(tree, "10000")
		if err != nil || acc.Account.Name != fmt.Sprint("old ", n) || !s.h.whole(late) {
			t.Fatalf("one commit later: %+v, %v; want what was read", acc, err)
		}
		put(fmt.Sprint("newest ", n))
		if acc, err := s.read(tree, "10000"); err != nil || acc.Account.Name != fmt.Sprint("old ", n) {
			foreign++
		}
		s.recent.changing(tree.TxID()+2, []store.ID{"10000"})
		s.h.seen.Store(&state{snapshot: late.snapshot, era: late.era}) // as a reader has it that began before both commits
		if acc, known := s.Peek("10000"); known {
			t.Fatalf("two commits later Peek answers with %+v", acc.Account)
		}
	}
	if foreign == 0 {
		t.Error("no page was used again: this test shows nothing")
	}
}

// A reader of a list can see a commit before its writer is told. No later read may see less.
func TestWhatAListShowedIsNotUnseenByGet(t *testing.T) {
	s, _ := seeded(t, 1)
	_, err := s.Get(t.Context(), "10000")
	must(t, err)
	commit := make(chan struct{})
	// bbolt writes the meta page last: a commit of its own stands for one whose sync takes its time
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
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
		acc, err := stored(tx.Bucket(boltfile.AccountBucket), "10000")
		if err != nil {
			return err
		}
		next, _ := store.Next(acc, "10000", store.Draft{Name: "new"}, time.Now())
		return putAccount(tx.Bucket(boltfile.AccountBucket), next)
	}, "10000"))
	<-commit
}

func encoded(t *testing.T, acc store.Account) *store.Encoded {
	t.Helper()
	e, err := transfer.EncodeAnswer(acc)
	must(t, err)
	return e
}

// The meta page of a commit that failed could be seen, and the system may take it back.
func TestNothingIsPeekedFromAFailedCommitUntilTheFileIsOpenedAnew(t *testing.T) {
	dir := t.TempDir()
	large := store.Draft{Name: "x", Labels: map[string]string{"k": strings.Repeat("日", store.MaxLabelLength)}}
	t.Cleanup(smallDisk(t, dir, "512k"))
	s := openAt(t, filepath.Join(dir, "accounts.db"))
	_, err := s.Seed(t.Context(), store.Fakes(1))
	must(t, err)
	if _, err := s.Get(t.Context(), "10000"); err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil; n++ {
		_, err = s.Put(t.Context(), store.ID(fmt.Sprint("large", n)), large, store.Preconditions{})
	}
	wantErr(t, err, store.ErrNoSpace)
	if acc, known := s.Peek("10000"); known {
		t.Errorf("Peek answers with %+v", acc.Account)
	}
	if _, err := s.Get(t.Context(), "10000"); err != nil {
		t.Errorf("Get: %v", err)
	}
	failed := s.h.seen.Load() // as a reader has it that is late
	must(t, s.Delete(t.Context(), "large0", store.Preconditions{}))
	want, err := s.Get(t.Context(), "10000")
	must(t, err)
	if got, known := s.Peek("10000"); !known || !reflect.DeepEqual(got, encoded(t, want)) {
		t.Errorf("after the file was opened anew, Peek = %+v, %v; want %+v", got, known, want)
	}
	if s.h.whole(failed) {
		t.Error("what was seen before the failure is taken for whole after it")
	}
}

// A read of an account that a failed commit wrote can end after the file was opened anew.
func TestRecentKeepsNothingFromBeforeAFailedCommit(t *testing.T) {
	acc := encoded(t, store.Account{ID: "a", Draft: store.Draft{Name: "x"}, Version: 1})
	r := newRecent()
	r.add(acc, 6, 0)
	r.restart(2)
	r.add(acc, 7, 0)
	if got, _, kept := r.get("a"); kept {
		t.Errorf("kept: %+v", got)
	}
	r.add(acc, 7, 2)
	if _, era, kept := r.get("a"); !kept || era != 2 {
		t.Errorf("kept %v, era %d; want true, 2", kept, era)
	}
}
