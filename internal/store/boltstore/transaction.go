package boltstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// transactions is what this process knows of the transactions of its open file.
//
// The last committed one was read back. A database that is written over the open file can have the same transaction
// number, and the same page numbers too if it is a copy of this one. Therefore each commit writes a random number into
// the root page, whose checksum is compared.
//
// The last one that anybody has seen can be read without a read transaction of bbolt, and so without the map, as long
// as its pages are not used again. bbolt uses the pages that a transaction set free in the one after the next at the
// earliest: those of transaction N are whole until N+2 begins. Whoever sees a transaction first publishes it, so that
// no later read sees less. The meta page of a commit can be seen while the commit waits for the disk.
type transactions struct {
	committed atomic.Uint64 // the last transaction
	begun     atomic.Uint64 // the last one whose commit began
	writing   atomic.Uint64 // the last one that the committer began

	last atomic.Pointer[transaction] // committed, as it was read back; nil while that is done, and if it failed
	seen atomic.Pointer[state]       // nil if nothing may be read without a read transaction
	// era is odd from a commit that fails until the file has been opened anew: the meta page of that commit could be seen,
	// and the system may take it back. Meanwhile reads go through read transactions alone, which the committer waits for.
	era atomic.Uint64
}

type transaction struct {
	meta    boltfile.Meta
	rootSum uint64
}

// state is one transaction that was seen.
type state struct {
	snapshot boltfile.Snapshot
	era      uint64
	recent   atomic.Pointer[recent] // nil until an account was asked for
}

// mark makes the root page of a transaction differ from that of any other.
func mark(tx *bbolt.Tx) error {
	if ours := tx.Bucket(boltfile.MetaBucket); ours != nil {
		return ours.SetSequence(rand.Uint64())
	}
	return nil
}

// remember reads back from f what the commit of transaction txid wrote, and publishes it. What can't be read is not
// compared, and the next read transaction publishes it. committed was set before.
func (t *transactions) remember(f *os.File, txid uint64) {
	t.last.Store(nil)
	m, _ := boltfile.InspectFile(f)
	if m.TxID == txid && txid > 0 {
		snap := m.Snapshot(f)
		if root, err := snap.Page(m.Root); err == nil {
			snap.RootSum = root.Sum()
			t.last.Store(&transaction{m, snap.RootSum})
			t.publish(snap)
			return
		}
	}
	t.seen.Store(nil)
}

// isOther reports whether m has the number of the last transaction and is not its meta page.
func (t *transactions) isOther(m boltfile.Meta) bool {
	last := t.last.Load()
	return last != nil && last.meta.TxID == m.TxID && last.meta != m
}

// rootSum is the checksum of the root page that tx reads, or 0 if it is unknown.
func (t *transactions) rootSum(tx *bbolt.Tx) uint64 {
	id := uint64(tx.ID())
	if tx.Writable() { // it reads what the one before wrote
		id--
	}
	if last := t.last.Load(); last != nil && last.meta.TxID == id {
		return last.rootSum
	}
	return 0
}

// publish notes that a transaction was seen. It asks for the last committed one after the one seen last, because a
// committer that withdraws the latter has set the former before.
func (t *transactions) publish(snap boltfile.Snapshot) {
	next := &state{snapshot: snap, era: t.era.Load()}
	for {
		known := t.seen.Load()
		if known != nil && known.era == next.era && known.snapshot.TxID >= snap.TxID || snap.TxID < t.committed.Load() {
			return
		}
		if t.seen.CompareAndSwap(known, next) {
			return
		}
	}
}

// fail is called by the committer, or by a start, when a commit has failed.
func (t *transactions) fail() {
	if t.era.Load()%2 == 0 {
		t.era.Add(1)
	}
}

// restore is called once after fail: when it is known what became of the commit, and when no read transaction is left
// that began before.
func (t *transactions) restore() { t.era.Add(1) }

// whole reports whether the pages of a transaction were whole until now, and whether no commit failed since it was
// seen.
func (t *transactions) whole(s *state) bool {
	return t.writing.Load() <= s.snapshot.TxID+1 && s.era == t.era.Load() && s.era%2 == 0
}

// keep keeps an account in memory that a read transaction has read, which has not ended, if it is the one seen last.
func (t *transactions) keep(acc *store.Encoded, txid uint64) {
	if s := t.seen.Load(); s != nil && s.snapshot.TxID == txid && s.era == t.era.Load() {
		s.recently().add(acc)
	}
}

// tree returns the accounts of a transaction that was seen, whose pages f reads. They must be whole after the last read.
// If r has no tree yet, the meta pages are read first: something else may have written into the open file.
func (t *transactions) tree(s *state, r *recent, f boltfile.Cached) (boltfile.Tree, error) {
	if known := r.tree.Load(); known != nil {
		return *known, nil
	}
	snap := s.snapshot
	newest, err := boltfile.ReadMetas(f).Newest()
	if err != nil || newest.TxID < snap.TxID || newest.TxID > snap.TxID+1 { // that one may be in a commit just now
		return boltfile.Tree{}, boltfile.ErrNotCached
	}
	snap.File, snap.Branches = f, &boltfile.Branches{}
	accounts, err := snap.Bucket(boltfile.AccountBucket)
	if err == nil && t.whole(s) {
		r.tree.Store(&accounts)
	}
	return accounts, err
}

// errForeign says that the file's last transaction is not ours.
func errForeign(found, ours uint64) error {
	if found < ours {
		return fmt.Errorf("the database went back from transaction %d to %d", ours, found)
	}
	return fmt.Errorf("the database has transaction %d, and this process wrote only %d: "+
		"something else wrote into the open file", found, ours)
}
