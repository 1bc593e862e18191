package boltstore

import (
	"encoding/binary"
	"fmt"
)

// claim notes that pages belong to one user, and says whether they can. A page
// that leads back to itself ends here.
func (w *walker) claim(from string, id, n uint64, as byte) bool {
	if n == 0 {
		return true
	}
	if all := uint64(len(w.uses)); id < 2 || id >= all || n > all-id {
		w.find(from, "leads to page %d (%d in all), and the database has pages 2 to %d", id, n, all-1)
		return false
	}
	ok := true
	for i := id; i < id+n; i++ {
		switch was := w.uses[i]; {
		case was == unused:
			w.uses[i] = as
			continue
		case was == as && as == onFreelist:
			w.find(from, "names page %d twice", i)
		case was == as:
			w.find(from, "leads to page %d, which is in use already", i)
		default:
			w.find(at(i), "is in use and on the list of free pages")
		}
		ok = false
	}
	return ok
}

// read claims and reads a page with those that follow as part of it.
func (w *walker) read(from string, id uint64) ([]byte, bool) {
	if !w.claim(from, id, 1, inUse) {
		return nil, false
	}
	header := make([]byte, pageHeader)
	if _, err := w.file.ReadAt(header, int64(id)*w.pageSize); err != nil {
		w.find(at(id), "cannot be read: %v", err)
		return nil, false
	}
	if says := binary.NativeEndian.Uint64(header); says != id {
		w.find(at(id), "its header says that it is page %d", says)
		return nil, false
	}
	more := uint64(binary.NativeEndian.Uint32(header[12:]))
	if !w.claim(at(id), id+1, more, inUse) {
		return nil, false
	}
	b := make([]byte, int64(1+more)*w.pageSize)
	if _, err := w.file.ReadAt(b, int64(id)*w.pageSize); err != nil {
		w.find(at(id), "cannot be read: %v", err)
		return nil, false
	}
	return b, true
}

// page reads a page of a tree.
func (w *walker) page(from string, id uint64) (page, bool) {
	b, ok := w.read(from, id)
	if !ok {
		return page{}, false
	}
	return w.parse(at(id), b, id)
}

// parse says what is wrong with a page of a tree, if anything is.
func (w *walker) parse(where string, b []byte, id uint64) (page, bool) {
	p, err := parsePage(b, id)
	switch {
	case err == nil:
		return p, true
	case p.flags != branchPage && p.flags != leafPage:
		w.find(where, "its header says type %#x, neither branch nor leaf", p.flags)
	default:
		w.find(where, "its elements don't fit together: their count, places, lengths or order are damaged")
	}
	return page{}, false
}

// end is where the last element of a page ends.
func (p page) end() int {
	if p.count == 0 {
		return pageHeader
	}
	from, keyLen, valueLen := p.place(p.count - 1)
	return int(from + keyLen + valueLen)
}

// freelist reads the list of free pages.
func (w *walker) freelist(id uint64) {
	b, ok := w.read("the newest meta page", id)
	if !ok {
		return
	}
	where := fmt.Sprintf("page %d, the list of free pages", id)
	if flags := binary.NativeEndian.Uint16(b[8:]); flags != freelistPage {
		w.find(where, "its header says type %#x", flags)
		return
	}
	count, ids := uint64(binary.NativeEndian.Uint16(b[10:])), b[pageHeader:]
	if count == manyFree {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		w.find(where, "says that it has %d entries, and has room for %d", count, len(ids)/8)
		return
	}
	for i := range count {
		if w.claim(where, binary.NativeEndian.Uint64(ids[8*i:]), 1, onFreelist) {
			w.free++
		}
	}
}
