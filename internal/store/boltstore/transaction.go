package boltstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// lastTransaction is what was read back after the last commit of this process, or at the start. A database that is
// written over the open file can have the same transaction number, and the same page numbers too if it is a copy of
// this one. Therefore each commit writes a random number into the root page, whose checksum is compared. It is unknown
// at first, and while a commit is read back.
type lastTransaction struct {
	known atomic.Pointer[transaction]
}

type transaction struct {
	meta    boltfile.Meta
	rootSum uint64
}

// mark makes the root page of a transaction differ from that of any other.
func mark(tx *bbolt.Tx) error {
	if ours := tx.Bucket(boltfile.MetaBucket); ours != nil {
		return ours.SetSequence(rand.Uint64())
	}
	return nil
}

// remember reads back what the commit of transaction txid wrote into f. What can't be read is not compared.
func (l *lastTransaction) remember(f *os.File, txid uint64) {
	l.known.Store(nil)
	m, _ := boltfile.InspectFile(f)
	if m.TxID != txid || txid == 0 {
		return
	}
	if root, err := m.Snapshot(f).Page(m.Root); err == nil {
		l.known.Store(&transaction{m, root.Sum()})
	}
}

// isOther reports whether m has the number of the last transaction and is not its meta page.
func (l *lastTransaction) isOther(m boltfile.Meta) bool {
	last := l.known.Load()
	return last != nil && last.meta.TxID == m.TxID && last.meta != m
}

// rootSum is the checksum of the root page that tx reads, or 0 if it is unknown.
func (l *lastTransaction) rootSum(tx *bbolt.Tx) uint64 {
	id := uint64(tx.ID())
	if tx.Writable() { // it reads what the one before wrote
		id--
	}
	if last := l.known.Load(); last != nil && last.meta.TxID == id {
		return last.rootSum
	}
	return 0
}

// errForeign says that the file's last transaction is not ours.
func errForeign(found, ours uint64) error {
	if found < ours {
		return fmt.Errorf("the database went back from transaction %d to %d", ours, found)
	}
	return fmt.Errorf("the database has transaction %d, and this process wrote only %d: "+
		"something else wrote into the open file", found, ours)
}
