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

// freelist reads the list of free pages: their ids, in ascending order. It says whether it read all of the list.
func (w *walker) freelist() bool {
	id := w.meta.Freelist
	where := at(id) + ", the list of free pages"
	h, err := boltfile.ReadFreelist(w.file, w.meta)
	if err != nil {
		w.find(where, "%v", err)
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
		w.find(where, "says that it has %d entries, and has room for %d", count, room)
		return false
	}
	for last := uint64(0); count > 0 && !w.ended(); count-- {
		free := next()
		if err != nil {
			w.damage(id, err)
			return false
		}
		w.free(where, free)
		if free < last {
			w.find(where, "names page %d after page %d", free, last)
		}
		if free <= last { // what follows can be anything, as long as the file
			return false
		}
		last = free
	}
	return !w.ended()
}

// free notes that a page is on the list.
func (w *walker) free(where string, id uint64) {
	if !w.inBounds(where, id, 1) {
		w.report.Unsafe = true
		return
	}
	before := w.claim(id, onFreelist)
	w.report.Unsafe = w.report.Unsafe || before != unused
	switch before {
	case unused:
		w.report.FreePages++
	case inTree:
		w.find(at(id), "is in use and on the list of free pages")
	case onFreelist:
		w.find(where, "names page %d twice", id)
	}
}
