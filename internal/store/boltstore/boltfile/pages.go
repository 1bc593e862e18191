package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
)

// Types of pages, in Header.Flags.
const (
	BranchPage   = 0x01
	LeafPage     = 0x02
	MetaPage     = 0x04
	FreelistPage = 0x10
)

const (
	// HeaderSize is the number of bytes of a page's header.
	HeaderSize  = 16
	elementSize = 16 // in bytes, of a branch page and of a leaf page
	bucketSize  = 16 // in bytes, of a bucket's root page id and sequence, before an inline page
	bucketFlag  = 0x01
)

// Header is the header of a page: id (8 bytes), flags (2), count of elements (2), overflow (4).
type Header struct {
	ID       uint64
	Flags    uint16
	Count    uint16
	Overflow uint32 // number of pages that follow as part of this one
}

// ParseHeader parses the first HeaderSize bytes of b.
func ParseHeader(b []byte) Header {
	order := binary.NativeEndian
	return Header{order.Uint64(b), order.Uint16(b[8:]), order.Uint16(b[10:]), order.Uint32(b[12:])}
}

// Damage is an error in the content of a page.
type Damage struct {
	Page uint64
	What string
}

func (d *Damage) Error() string { return fmt.Sprintf("page %d is damaged: %s", d.Page, d.What) }

// Page is one page of a tree whose elements lie within it. The elements follow the header, 16 bytes each: of a branch
// page position, key length and page id (4, 4 and 8 bytes), of a leaf page flags, position, key length and value
// length (4 each). A position counts from the begin of its element.
type Page struct {
	ID    uint64
	Leaf  bool
	Count int // of elements: 1 to 65,535 of a branch page, 0 to 65,535 of a leaf page
	Pages int // that it takes in the file: 1, and those that follow as part of it
	b     []byte
	end   uint64 // where the last element ends in b
	depth int    // of branch pages above it
}

// Sum is a checksum of the page as far as it is used, and never 0.
func (p Page) Sum() uint64 { return 1<<32 | uint64(crc32.Checksum(p.b[:p.end], castagnoli)) }

// uneven is the damage of a leaf page that is not as deep in its tree as another.
func (p Page) uneven() error { return &Damage{p.ID, "not all pages of its tree lead to it"} }

// parsePage checks all that the methods of Page rely on. It holds pages to more than bbolt does: bbolt packs elements
// without gaps, so that a wrong count, length or position shows.
func parsePage(b []byte, id uint64) (Page, error) {
	damaged := func(format string, args ...any) (Page, error) {
		return Page{}, &Damage{id, fmt.Sprintf(format, args...)}
	}
	if len(b) < HeaderSize {
		return damaged("it has %d bytes", len(b))
	}
	h := ParseHeader(b)
	p := Page{ID: id, Leaf: h.Flags == LeafPage, Count: int(h.Count), Pages: 1 + int(h.Overflow), b: b}
	switch {
	case h.ID != id:
		return damaged("its header says that it is page %d", h.ID)
	case h.Flags != BranchPage && h.Flags != LeafPage:
		return damaged("its header says type %#x, neither branch nor leaf", h.Flags)
	case !p.Leaf && p.Count == 0 || !p.pack():
		return damaged("its elements don't fit together: their count, places, lengths or order are damaged")
	case p.end <= uint64(len(b)-len(b)/p.Pages) && p.Pages > 1: // bbolt takes no more pages than it needs
		return damaged("its header says that %d pages follow as part of it, and its elements need less", h.Overflow)
	}
	return p, nil
}

// pack finds the end of the elements. It says whether they lie within the page, without gaps and in order of their
// keys. Each read of a page does this to all of its elements, so it takes each field once.
func (p *Page) pack() (ok bool) {
	size, order := uint64(len(p.b)), binary.NativeEndian
	if p.end = uint64(HeaderSize + p.Count*elementSize); p.end > size {
		return false
	}
	position, lengths := 0, 4 // in an element of a branch page
	if p.Leaf {
		position, lengths = 4, 8
	}
	var before []byte
	for at := uint64(HeaderSize); at < uint64(HeaderSize+p.Count*elementSize); at += elementSize {
		element := p.b[at : at+elementSize]
		from := at + uint64(order.Uint32(element[position:]))
		to := from + uint64(order.Uint32(element[lengths:]))
		end := to
		if p.Leaf {
			end += uint64(order.Uint32(element[12:]))
		}
		if from != p.end || end > size {
			return false
		}
		key := p.b[from:to]
		if at > HeaderSize && bytes.Compare(before, key) >= 0 {
			return false
		}
		before, p.end = key, end
	}
	return true
}

// u32 returns the field at this offset of element i.
func (p Page) u32(i, offset int) uint32 {
	return binary.NativeEndian.Uint32(p.b[HeaderSize+i*elementSize+offset:])
}

// bounds returns where the key of element i begins, and the lengths of key and value. The value follows the key.
func (p Page) bounds(i int) (from, keyLen, valueLen uint64) {
	element := uint64(HeaderSize + i*elementSize)
	if p.Leaf {
		return element + uint64(p.u32(i, 4)), uint64(p.u32(i, 8)), uint64(p.u32(i, 12))
	}
	return element + uint64(p.u32(i, 0)), uint64(p.u32(i, 4)), 0
}

// Key returns the key of element i, as part of the page's memory.
func (p Page) Key(i int) []byte {
	from, n, _ := p.bounds(i)
	return p.b[from : from+n]
}

// Value returns the value of element i of a leaf page, as part of the page's memory.
func (p Page) Value(i int) []byte {
	from, n, m := p.bounds(i)
	return p.b[from+n : from+n+m]
}

// Child returns the page id in element i of a branch page. It can be any number.
func (p Page) Child(i int) uint64 {
	return binary.NativeEndian.Uint64(p.b[HeaderSize+i*elementSize+8:])
}

// IsRecord says whether element i of a leaf page is a record, and not a bucket or of an unknown kind.
func (p Page) IsRecord(i int) bool { return p.u32(i, 0) == 0 }

// IsBucket says whether element i of a leaf page is a bucket.
func (p Page) IsBucket(i int) bool { return p.u32(i, 0) == bucketFlag }

// Bucket parses the value of element i of a leaf page as a bucket: it has a tree that begins at the page root, or,
// if root is 0, one leaf page inline. The id of an inline page is that of the page it is in.
func (p Page) Bucket(i int) (root uint64, inline Page, err error) {
	v := p.Value(i)
	damaged := &Damage{p.ID, fmt.Sprintf("its bucket %.80q is damaged", p.Key(i))}
	if len(v) < bucketSize {
		return 0, Page{}, damaged
	}
	root = binary.NativeEndian.Uint64(v)
	if root != 0 {
		if len(v) != bucketSize {
			return 0, Page{}, damaged
		}
		return root, Page{}, nil
	}
	inline, err = parsePage(v[bucketSize:], 0)
	if inside, is := errors.AsType[*Damage](err); is {
		damaged.What += ": " + inside.What
		return 0, Page{}, damaged
	}
	if !inline.Leaf || inline.Pages != 1 || inline.end != uint64(len(inline.b)) {
		return 0, Page{}, damaged
	}
	inline.ID = p.ID
	return 0, inline, nil
}

// childOf returns the element of a branch page that leads to key.
func (p Page) childOf(key []byte) int {
	i, exact := p.find(key)
	if !exact {
		i = max(i-1, 0) // a branch's key is the first of its child
	}
	return i
}

// find returns the first element whose key is not less than key, or Count, and whether it is the element of key.
func (p Page) find(key []byte) (i int, found bool) {
	return sort.Find(p.Count, func(i int) int { return bytes.Compare(key, p.Key(i)) })
}
