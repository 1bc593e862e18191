package boltstore

import (
	"math/rand/v2"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// transaction is what was read back after the last commit of this process, or at the start. A database that is written
// over the open file can have the same transaction number, and the same page numbers too if it is a copy of this one.
// Therefore each commit writes a random number into the root page, whose checksum is compared.
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

// remember reads back what the commit of transaction txid wrote. What can't be read is not compared.
func (h *handle) remember(txid uint64) {
	h.last.Store(nil)
	m, _ := boltfile.InspectFile(h.file)
	if m.TxID != txid || txid == 0 {
		return
	}
	if root, err := m.Snapshot(h.file).Page(m.Root); err == nil {
		h.last.Store(&transaction{m, root.Sum()})
	}
}

// isOther reports whether m has the number of the last transaction and is not its meta page.
func (h *handle) isOther(m boltfile.Meta) bool {
	last := h.last.Load()
	return last != nil && last.meta.TxID == m.TxID && last.meta != m
}

// snapshot is the database as tx sees it.
func (h *handle) snapshot(tx *bbolt.Tx) boltfile.Snapshot {
	s := boltfile.Snapshot{File: h.file, PageSize: h.pageSize, Root: uint64(tx.Cursor().Bucket().Root())}
	id := uint64(tx.ID())
	if tx.Writable() { // it reads what the one before wrote
		id--
	}
	if last := h.last.Load(); last != nil && last.meta.TxID == id {
		s.RootSum = last.rootSum
	}
	return s
}
