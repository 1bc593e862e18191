package boltverify

import (
	"bufio"
	"encoding/binary"
	"io"

	"accountservice/internal/store/boltstore/boltfile"
)

const (
	entrySize = 8      // in bytes, of a free page's id
	manyFree  = 0xFFFF // as count in the header: the first entry is the count
)

// listReport is what a walk learns about the list of free pages.
type listReport struct {
	brokenTrees int   // findings about pages of trees
	broken      int   // findings about the list, inUse among them
	inTrees     int64 // how many pages have another use than to be free, without the list itself
	inUse       int   // entries that are pages in use
	lastInUse   uint64
	lost        int64 // pages that are neither in use nor free
	firstLost   uint64
	more        bool // something follows the last entry, where bbolt writes zeros
}

// freelist reads the list of free pages: their ids, in ascending order. It says whether it read all of the list.
func (w *walker) freelist() bool {
	id := w.meta.Freelist
	where := at(id) + ", the list of free pages"
	h, err := boltfile.ReadFreelist(w.file, w.meta)
	if err != nil {
		w.breach(where, "%v", err)
		return false
	}
	if !w.claimTree(theMeta, id, 1+uint64(h.Overflow)) {
		return false
	}
	size := (1+int64(h.Overflow))*w.meta.PageSize - boltfile.HeaderSize
	list := bufio.NewReaderSize(io.NewSectionReader(w.file, int64(id)*w.meta.PageSize+boltfile.HeaderSize, size), 64<<10)
	b := make([]byte, entrySize)
	next := func() uint64 {
		if err == nil {
			_, err = io.ReadFull(list, b)
		}
		return binary.NativeEndian.Uint64(b)
	}
	count, room := uint64(h.Count), uint64(size/entrySize)
	if count == manyFree {
		count, room = next(), room-1
	}
	if count > room {
		w.breach(where, "says that it has %d entries, and has room for %d", count, room)
		return false
	}
	entries := count
	for last := uint64(0); count > 0 && !w.ended(); count-- {
		free := next()
		if err != nil {
			w.damage(id, err)
			return false
		}
		w.free(where, free)
		if free < last {
			w.breach(where, "names page %d after page %d", free, last)
		}
		if free <= last { // what follows can be anything, as long as the file
			return false
		}
		last = free
	}
	if room > entries {
		w.list.more = next() != 0
	}
	return !w.ended()
}

// free notes that a page is on the list.
func (w *walker) free(where string, id uint64) {
	if !w.inBounds(where, id, 1) {
		w.report.Unsafe = true
		return
	}
	before := w.uses.claim(id, onFreelist)
	w.report.Unsafe = w.report.Unsafe || before != unused
	switch before {
	case unused:
		w.report.FreePages++
	case inTree:
		w.list.inUse++
		w.list.lastInUse = id
		w.breach(at(id), "is in use and on the list of free pages")
	case onFreelist:
		w.breach(where, "names page %d twice", id)
	}
}
