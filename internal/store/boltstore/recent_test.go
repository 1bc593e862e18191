package boltstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/transfer"
)

func encoded(t *testing.T, acc store.Account) *store.Encoded {
	t.Helper()
	e, err := transfer.EncodeAnswer(acc)
	must(t, err)
	return e
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
	s := opened(t, 1000, Options{})
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
		begun := &state{snapshot: late.snapshot, era: late.era} // as a reader has it that began before both commits
		if n%2 > 0 {
			begun.known.Store(&knownTree{tree, time.Now()}) // and that asks for no meta page
		}
		s.h.seen.Store(begun)
		if acc, known := s.Peek("10000"); known {
			t.Fatalf("two commits later Peek answers with %+v", acc.Account)
		}
	}
	if foreign == 0 {
		t.Error("no page was used again: this test shows nothing")
	}
}

// All places of reads are taken, as by a disk that hangs.
func TestPeekWaitsForNoOtherRead(t *testing.T) {
	s := opened(t, 2, Options{})
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

// A reader that is late may have what a commit that failed wrote.
func TestStateFromBeforeAFailedCommitIsNotWholeAfterIt(t *testing.T) {
	var h transactions
	h.writing.Store(6)
	seen := &state{snapshot: boltfile.Snapshot{TxID: 6}}
	before := h.whole(seen)
	h.fail()
	during := h.whole(seen)
	h.restore()
	if after := h.whole(seen); !before || during || after {
		t.Errorf("whole before %v, during %v, after %v; want it only before", before, during, after)
	}
}
