package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// This file reads bbolt's tree by pread. A read of the mapped file that meets a
// disk which fails is a memory fault, and one that meets a disk which hangs
// stops the whole process at the next garbage collection, for a page fault is
// no system call. A pread is one: it gives an error, or hangs alone.
//
// The layout is bbolt's (internal/common: page.go, bucket.go), in the machine's
// byte order. A page begins with its id (8 bytes), flags (2), count of elements
// (2) and count of pages that follow as part of it (4). Its elements are 16
// bytes each: of a branch page position, key length and page id (4, 4, 8), of a
// leaf page flags, position, key length and value length (4 each). A position
// counts from its element.
const (
	branchPage  = 0x01
	leafPage    = 0x02
	elementSize = 16
	bucketFlag  = 0x01 // of a leaf element
	bucketSize  = 16   // of a bucket's root page id and sequence, before an inline page
	maxDepth    = 64   // of a tree; a page that leads back to itself ends there
	// maxOverflow bounds in bytes what follows a page as part of it. Accounts need
	// little of it, and a damaged count must not ask for all of memory.
	maxOverflow = 1 << 20
)

// snapshot is the database as one transaction sees it: the transaction keeps
// the pages from being used anew.
type snapshot struct {
	file     io.ReaderAt
	pageSize int64
	top      uint64 // page of the bucket of buckets
}

// tree is one bucket of a snapshot: pages, or one page inline.
type tree struct {
	snapshot
	root   uint64
	inline page
}

// errNoBucket: the snapshot has no bucket of the name.
var errNoBucket = errors.New("bucket is gone")

// bucket returns the top-level bucket of this name.
func (s snapshot) bucket(name []byte) (tree, error) {
	top := tree{snapshot: s, root: s.top}
	leaf, _, err := top.leafOf(name)
	if err != nil {
		return tree{}, err
	}
	i := leaf.search(name)
	if i == leaf.count || !bytes.Equal(leaf.key(i), name) || leaf.u32(i, 0)&bucketFlag == 0 {
		return tree{}, fmt.Errorf("%w: %s", errNoBucket, name)
	}
	v := leaf.value(i)
	if len(v) < bucketSize {
		return tree{}, leaf.damaged()
	}
	t := tree{snapshot: s, root: binary.NativeEndian.Uint64(v)}
	if t.root == 0 {
		t.inline, err = parsePage(v[bucketSize:], 0)
	}
	return t, err
}

// get returns the value of key, or nil.
func (t tree) get(key []byte) ([]byte, error) {
	leaf, _, err := t.leafOf(key)
	if err != nil {
		return nil, err
	}
	if i := leaf.search(key); i < leaf.count && bytes.Equal(leaf.key(i), key) {
		return leaf.value(i), nil
	}
	return nil, nil
}

// after calls f with each key greater than key and its value, in order, until f
// returns false. Both belong to f.
func (t tree) after(key []byte, f func(k, v []byte) bool) error {
	for at := key; at != nil; {
		leaf, next, err := t.leafOf(at)
		if err != nil {
			return err
		}
		for i := leaf.search(at); i < leaf.count; i++ {
			if k := leaf.key(i); !bytes.Equal(k, key) && !f(k, leaf.value(i)) {
				return nil
			}
		}
		at = next
	}
	return nil
}

// leafOf returns the leaf page that has key if any has, and the first key of
// the leaf after it, or nil.
func (t tree) leafOf(key []byte) (leaf page, next []byte, err error) {
	if t.root == 0 {
		return t.inline, nil, nil
	}
	id := t.root
	for range maxDepth {
		p, err := t.page(id)
		if err != nil || p.flags == leafPage {
			return p, next, err
		}
		i := p.childOf(key)
		if i+1 < p.count {
			next = p.key(i + 1)
		}
		id = p.child(i)
	}
	return page{}, nil, t.endless(id)
}

// around reads what bbolt may touch when key alone is removed: the pages on its
// way, and those beside them, with which one that gets too small is merged.
func (t tree) around(key []byte) error {
	id := t.root
	if id == 0 {
		return nil
	}
	for range maxDepth {
		p, err := t.page(id)
		if err != nil || p.flags == leafPage {
			return err
		}
		i := p.childOf(key)
		for _, beside := range []int{i - 1, i + 1} {
			if beside >= 0 && beside < p.count {
				if _, err := t.page(p.child(beside)); err != nil {
					return err
				}
			}
		}
		id = p.child(i)
	}
	return t.endless(id)
}

func (t tree) endless(id uint64) error {
	return fmt.Errorf("page %d is damaged: the tree does not end", id)
}

// page reads one page with those that follow as part of it.
func (s snapshot) page(id uint64) (page, error) {
	b := make([]byte, s.pageSize)
	if _, err := s.file.ReadAt(b, int64(id)*s.pageSize); err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	more := int64(binary.NativeEndian.Uint32(b[12:]))
	if more*s.pageSize > maxOverflow {
		return page{}, page{id: id}.damaged()
	}
	if more > 0 {
		b = append(b, make([]byte, more*s.pageSize)...)
		if _, err := s.file.ReadAt(b[s.pageSize:], (int64(id)+1)*s.pageSize); err != nil {
			return page{}, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return parsePage(b, id)
}

// page is one page whose elements lie within it.
type page struct {
	id    uint64
	flags uint16
	count int
	b     []byte
}

// parsePage checks all that the methods of page rely on.
func parsePage(b []byte, id uint64) (page, error) {
	p := page{id: id, b: b}
	if len(b) < pageHeader {
		return p, p.damaged()
	}
	p.flags, p.count = binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if binary.NativeEndian.Uint64(b) != id || p.flags != branchPage && p.flags != leafPage || p.flags == branchPage && p.count == 0 {
		return p, p.damaged()
	}
	if len(b) < pageHeader+p.count*elementSize {
		return p, p.damaged()
	}
	next := uint64(pageHeader + p.count*elementSize) // bbolt leaves no gap, so that a wrong count or length shows
	for i := range p.count {
		from, keyLen, valueLen := p.place(i)
		if from != next || from+keyLen+valueLen > uint64(len(b)) {
			return p, p.damaged()
		}
		next = from + keyLen + valueLen
		if i > 0 && bytes.Compare(p.key(i-1), p.key(i)) >= 0 {
			return p, p.damaged()
		}
	}
	return p, nil
}

func (p page) damaged() error { return fmt.Errorf("page %d is damaged", p.id) }

// u32 is the field at this offset of element i.
func (p page) u32(i, offset int) uint32 {
	return binary.NativeEndian.Uint32(p.b[pageHeader+i*elementSize+offset:])
}

// place says where element i has its key, and how long key and value are.
func (p page) place(i int) (from, keyLen, valueLen uint64) {
	element := uint64(pageHeader + i*elementSize)
	if p.flags == branchPage {
		return element + uint64(p.u32(i, 0)), uint64(p.u32(i, 4)), 0
	}
	return element + uint64(p.u32(i, 4)), uint64(p.u32(i, 8)), uint64(p.u32(i, 12))
}

func (p page) key(i int) []byte {
	from, n, _ := p.place(i)
	return p.b[from : from+n]
}

func (p page) value(i int) []byte {
	from, n, m := p.place(i)
	return p.b[from+n : from+n+m]
}

func (p page) child(i int) uint64 {
	return binary.NativeEndian.Uint64(p.b[pageHeader+i*elementSize+8:])
}

// childOf returns the element of a branch page that leads to key.
func (p page) childOf(key []byte) int {
	i := p.search(key)
	if i == p.count || !bytes.Equal(p.key(i), key) {
		i = max(i-1, 0) // a branch's key is the first of its child
	}
	return i
}

// search returns the first element whose key is not less than key, or count.
func (p page) search(key []byte) int {
	return sort.Search(p.count, func(i int) bool { return bytes.Compare(p.key(i), key) >= 0 })
}
