package boltstore

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/transfer"
)

func TestRecentIsBounded(t *testing.T) {
	var r recent
	for n := range 20_000 {
		labels := map[string]string{"k": strings.Repeat("x", n%3000)}
		acc, err := transfer.EncodeAnswer(store.Account{ID: store.ID(fmt.Sprint(n)), Draft: store.Draft{Name: "x", Labels: labels}})
		must(t, err)
		r.add(acc)
	}
	accounts, size := 0, 0
	for _, acc := range r.accounts.Range {
		accounts, size = accounts+1, size+recentCost+2*len(acc.(*store.Encoded).JSON)
	}
	if size > recentSize || size < recentSize/2 {
		t.Errorf("%d accounts of %d bytes, want at most %d", accounts, size, recentSize)
	}
}

// A transaction that begins after a failed commit can have the number of that one.
func TestNothingIsKeptOfAnotherTransactionOrFromBeforeAFailedCommit(t *testing.T) {
	var h transactions
	acc, err := transfer.EncodeAnswer(store.Account{ID: "a", Draft: store.Draft{Name: "x"}})
	must(t, err)
	kept := func(era, txid uint64) bool {
		seen := &state{snapshot: boltfile.Snapshot{TxID: 6}, era: era}
		h.seen.Store(seen)
		h.keep(acc, txid)
		_, known := seen.recently().get("a")
		return known
	}
	if !kept(0, 6) || kept(0, 5) || kept(0, 7) {
		t.Error("it is not kept of its transaction alone")
	}
	h.fail()
	h.restore()
	if kept(0, 6) || !kept(2, 6) {
		t.Error("it is not kept in its era alone")
	}
}

// An account that was read through pages in memory must not stay there longer than those.
func TestPagesInMemoryAreNoOlderThanWhatIsReadThroughThem(t *testing.T) {
	s := opened(t, 2, Options{})
	older, err := os.ReadFile(s.path)
	must(t, err)
	for range 3 {
		_, err := s.Put(t.Context(), "10000", store.Draft{Name: "new"}, store.Preconditions{})
		must(t, err)
	}
	_, err = s.Get(t.Context(), "10000")
	must(t, err)
	must(t, os.WriteFile(s.path, older, 0o600)) // in place
	seen := s.h.seen.Load()
	seen.recent.Load().since = time.Now().Add(-2 * recentFor)
	if acc, known := s.Peek("10000"); known {
		t.Errorf("Peek answers with %+v", acc.Account)
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
		begun := &state{snapshot: late.snapshot, era: late.era} // as a reader has it that began before both commits
		if n%2 > 0 {
			begun.recently().tree.Store(&tree) // and that asks for no meta page
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
