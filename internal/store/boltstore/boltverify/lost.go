package boltverify

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// maxFree is how many pages a list may have that rewriteFreelist writes, and how many lost pages Salvage reads: 32 GiB
// of pages of 4 KiB.
const maxFree = 8 << 20

// lostPages salvages the accounts on pages that are neither in use nor free. Unless the list of free pages is intact, such
// a page can be a free one, which may have accounts that were removed.
func (w *walker) lostPages(listIntact bool) {
	lost := w.meta.HighWater - w.uses.claimed
	switch {
	case lost == 0:
		return
	case !listIntact:
		w.find("pages", "%d are not read: without the list of free pages it is not known whether they are in use", lost)
		return
	case lost > maxFree:
		w.find("pages", "%d are neither in use nor free: more than are read", lost)
		return
	}
	snap := w.meta.Snapshot(w.file)
	snap.Buffers = new(boltfile.Buffers)
	headers := headers{file: w.file, pageSize: w.meta.PageSize}
	var unreadable int
	var first error
	end := uint64(min(w.meta.HighWater, w.report.Size/w.meta.PageSize))
	for id := uint64(2); id < end && !w.ended(); id++ {
		if w.uses.of(id) != unused {
			continue
		}
		err := headers.check(id)
		var p boltfile.Page
		if err == nil {
			snap.Buffers.Reset()
			p, err = snap.Page(id)
		}
		if err != nil {
			if unreadable++; first == nil {
				first = fmt.Errorf("page %d %w", id, err)
			}
			continue
		}
		for i := range p.Count {
			if p.Leaf && p.IsRecord(i) {
				w.lostRecord(p, i)
			}
		}
		id += uint64(p.Pages - 1)
	}
	if unreadable > 0 {
		w.find("pages", "%d that are neither in use nor free cannot be read; the first: %v", unreadable, first)
	}
}

// headers reads many pages at once and keeps their headers: a file can have millions of pages that are none.
type headers struct {
	file     *os.File
	pageSize int64
	from     int64 // where b begins in the file
	b        []byte
	data     uint64 // where the hole of the file ends that was found last
}

// check returns an error if the header of a page is not its own, or cannot be read. Pages are checked in ascending
// order. It reads no hole, which would take as long as data.
func (h *headers) check(id uint64) error {
	at := int64(id) * h.pageSize
	if at < h.from || at+boltfile.HeaderSize > h.from+int64(len(h.b)) {
		if id >= h.data {
			h.data = uint64(boltfile.NextData(h.file, at) / h.pageSize)
		}
		if id < h.data {
			return errNeverWritten
		}
		b := slices.Grow(h.b[:0], 1<<18)[:1<<18]
		n, err := h.file.ReadAt(b, at)
		if n < boltfile.HeaderSize {
			return fmt.Errorf("cannot be read: %w", err)
		}
		h.from, h.b = at, b[:n]
	}
	if boltfile.ParseHeader(h.b[at-h.from:]).ID != id {
		return errOtherPage
	}
	return nil
}

var (
	errOtherPage    = errors.New("has the header of another page")
	errNeverWritten = errors.New("was never written")
)

// lostRecord salvages an account. Which bucket a lost page is of is not known; other records are no accounts by their
// key or content.
func (w *walker) lostRecord(p boltfile.Page, i int) {
	key, record := p.Key(i), p.Value(i)
	if _, err := store.ParseID(string(key)); err != nil {
		return
	}
	_, damage := boltfile.DecodeAccount(key, record)
	if _, err := boltfile.Unseal(key, record); err == nil && damage != nil {
		return // whole, and something else
	}
	w.account(p, i)
}
