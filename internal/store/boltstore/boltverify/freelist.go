package boltverify

import (
	"encoding/binary"

	"accountservice/internal/store/boltstore/boltfile"
)

const (
	entrySize = 8      // in bytes, of a free page's id
	manyFree  = 0xFFFF // as count in the header: the first entry is the count
	// freelistRead is how many bytes of the list are in memory at once.
	freelistRead = 64 << 10
)

// freelist reads the list of free pages that begins at page id: ids in ascending order. It says whether it read all of
// the list.
func (w *walker) freelist(id uint64) bool {
	where := at(id) + ", the list of free pages"
	if !w.claim(theMeta, id, 1) {
		return false
	}
	start := int64(id) * w.meta.PageSize
	b := make([]byte, boltfile.HeaderSize+entrySize)
	if _, err := w.file.ReadAt(b, start); err != nil {
		w.damage(id, err)
		return false
	}
	h := boltfile.ParseHeader(b)
	switch {
	case h.ID != id:
		w.find(where, "its header says that it is page %d", h.ID)
		return false
	case h.Flags != boltfile.FreelistPage:
		w.find(where, "its header says type %#x", h.Flags)
		return false
	}
	// the list of all pages needs no more
	if most := (w.uses.pages+3)*entrySize/uint64(w.meta.PageSize) + 1; uint64(h.Overflow) > most {
		w.find(where, "its header says that %d pages follow as part of it", h.Overflow)
		return false
	}
	if !w.claim(at(id), id+1, uint64(h.Overflow)) {
		return false
	}
	start += boltfile.HeaderSize
	count, room := uint64(h.Count), ((1+uint64(h.Overflow))*uint64(w.meta.PageSize)-boltfile.HeaderSize)/entrySize
	if h.Count == manyFree {
		count = binary.NativeEndian.Uint64(b[boltfile.HeaderSize:])
		start += entrySize
		room--
	}
	if count > room {
		w.find(where, "says that it has %d entries, and has room for %d", count, room)
		return false
	}
	return w.entries(where, id, start, count)
}

// entries reads the entries of the list, which begin at this offset.
func (w *walker) entries(where string, id uint64, start int64, count uint64) bool {
	last := uint64(0)
	for done := uint64(0); done < count; {
		if w.ended() {
			return false
		}
		b := make([]byte, min(freelistRead, (count-done)*entrySize))
		if _, err := w.file.ReadAt(b, start+int64(done*entrySize)); err != nil {
			w.damage(id, err)
			return false
		}
		for ; len(b) > 0; b = b[entrySize:] {
			free := binary.NativeEndian.Uint64(b)
			w.free(where, free)
			if free < last {
				w.find(where, "names page %d after page %d", free, last)
			}
			if free <= last { // what follows can be anything, as long as the file
				return false
			}
			last = free
			done++
		}
	}
	return true
}

// free notes that a page is on the list.
func (w *walker) free(where string, id uint64) {
	if !w.inBounds(where, id, 1) {
		return
	}
	switch w.uses.claim(id, onFreelist) {
	case unused:
		w.report.FreePages++
	case inTree:
		w.find(at(id), "is in use and on the list of free pages")
	case onFreelist:
		w.find(where, "names page %d twice", id)
	}
}
