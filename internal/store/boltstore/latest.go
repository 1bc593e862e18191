package boltstore

import (
	"sync/atomic"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
)

// latest is the last transaction that anybody has seen. Its pages can be read without a read transaction of bbolt, and
// so without the map, as long as they are not used again. bbolt uses the pages that a transaction set free in the one
// after the next at the earliest: those of transaction N are whole until N+2 begins.
//
// Whoever sees a transaction first publishes it, so that no later read sees less. The meta page of a commit can be seen
// while the commit waits for the disk.
type latest struct {
	state   atomic.Pointer[state]
	writing atomic.Uint64 // the last transaction that the committer began
	// off: a commit failed, and its meta page, which could be seen, may be taken back by the system. From then on reads go
	// through read transactions alone, which the committer can wait for.
	off atomic.Bool
}

// state is one transaction.
type state struct {
	snapshot boltfile.Snapshot
	known    atomic.Pointer[knownTree] // nil until it was read
}

// knownTree is the tree of the accounts with its branch pages, as far as they were read since then.
type knownTree struct {
	boltfile.Tree
	since time.Time
}

// publish notes that a transaction was seen. committed is the last one that was committed; it is asked after the state,
// because a committer that withdraws the state has set it before.
func (l *latest) publish(snap boltfile.Snapshot, committed *atomic.Uint64) {
	next := &state{snapshot: snap}
	for {
		known := l.state.Load()
		if known != nil && known.snapshot.TxID >= snap.TxID || snap.TxID < committed.Load() {
			return
		}
		if l.state.CompareAndSwap(known, next) {
			return
		}
	}
}

// begins is called before the committer begins a transaction.
func (l *latest) begins(tx uint64) { l.writing.Store(tx) }

// whole reports whether the pages of a transaction were whole until now.
func (l *latest) whole(tx uint64) bool { return l.writing.Load() <= tx+1 && !l.off.Load() }

// tree returns the accounts of the last transaction, whose pages f reads. They must be whole after the last read.
// Branch pages are read again after recentFor, as records are, and so are the meta pages: something else may have
// written into the open file.
func (l *latest) tree(f boltfile.Cached) (boltfile.Tree, error) {
	s := l.state.Load()
	if s == nil {
		return boltfile.Tree{}, boltfile.ErrNotCached
	}
	if known := s.known.Load(); known != nil && time.Since(known.since) < recentFor {
		return known.Tree, nil
	}
	snap := s.snapshot
	newest, err := boltfile.ReadMetas(f).Newest()
	if err != nil || newest.TxID < snap.TxID || newest.TxID > snap.TxID+1 { // that one may be in a commit just now
		return boltfile.Tree{}, boltfile.ErrNotCached
	}
	snap.File, snap.Branches = f, &boltfile.Branches{}
	t, err := snap.Bucket(boltfile.AccountBucket)
	if err == nil && l.whole(snap.TxID) {
		s.known.Store(&knownTree{t, time.Now()})
	}
	return t, err
}
