package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxDepth is the most pages on a way from a root to a leaf. A tree of the largest file has less than a third of
	// them; a longer way is damage.
	MaxDepth = 64
	// maxOverflow bounds the bytes that follow a page as part of it. The records of this service need less, and a
	// damaged count must not claim memory.
	maxOverflow = 1 << 20
)

// ErrNoBucket: the snapshot has no bucket of the name.
var ErrNoBucket = errors.New("bucket is gone")

// Snapshot is the database as one transaction sees it. It is stable as long as that transaction lives, which keeps
// its pages from being used again.
type Snapshot struct {
	File     io.ReaderAt
	PageSize int64  // in bytes
	Root     uint64 // page id of the bucket that holds all other buckets
}

// Page reads a page of a tree with those that follow as part of it. An error is a *Damage, or that of a read.
func (s Snapshot) Page(id uint64) (Page, error) {
	b := make([]byte, s.PageSize)
	if _, err := s.File.ReadAt(b, int64(id)*s.PageSize); err != nil {
		return Page{}, fmt.Errorf("page %d: %w", id, err)
	}
	h := ParseHeader(b)
	if more := int64(h.Overflow) * s.PageSize; h.ID == id && more > 0 {
		if more > maxOverflow {
			return Page{}, &Damage{id, fmt.Sprintf("its header says that %d pages follow as part of it", h.Overflow)}
		}
		b = append(b, make([]byte, more)...)
		if _, err := s.File.ReadAt(b[s.PageSize:], (int64(id)+1)*s.PageSize); err != nil {
			return Page{}, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return parsePage(b, id)
}

// Tree is one bucket of a snapshot: pages, or one page inline.
type Tree struct {
	snapshot Snapshot
	root     uint64 // 0 of an inline page
	inline   Page
}

// Bucket returns the top-level bucket of this name, or ErrNoBucket.
func (s Snapshot) Bucket(name []byte) (Tree, error) {
	leaf, _, err := Tree{snapshot: s, root: s.Root}.Leaf(name)
	if err != nil {
		return Tree{}, err
	}
	i, found := leaf.find(name)
	if !found || !leaf.IsBucket(i) {
		return Tree{}, fmt.Errorf("%w: %s", ErrNoBucket, name)
	}
	t := Tree{snapshot: s}
	t.root, t.inline, err = leaf.Bucket(i)
	return t, err
}

// Get returns the value of key, or nil.
func (t Tree) Get(key []byte) ([]byte, error) {
	leaf, _, err := t.Leaf(key)
	if err != nil {
		return nil, err
	}
	if i, found := leaf.find(key); found {
		return leaf.Value(i), nil
	}
	return nil, nil
}

// After calls f with each key greater than key and its value, in order, until f returns false. f may keep both.
func (t Tree) After(key []byte, f func(k, v []byte) bool) error {
	for at := key; at != nil; {
		leaf, next, err := t.Leaf(at)
		if err != nil {
			return err
		}
		for i, _ := leaf.find(at); i < leaf.Count; i++ {
			if k := leaf.Key(i); !bytes.Equal(k, key) && !f(k, leaf.Value(i)) {
				return nil
			}
		}
		at = next // greater than at, in a damaged tree too
	}
	return nil
}

// Each calls f with each of these keys that exists, and its value, until f returns false. The keys must be sorted:
// each leaf is read once.
func (t Tree) Each(keys [][]byte, f func(k, v []byte) bool) error {
	var leaf Page
	var next []byte // the first key of the leaf after it
	for n, key := range keys {
		if n == 0 || next != nil && bytes.Compare(key, next) >= 0 {
			var err error
			if leaf, next, err = t.Leaf(key); err != nil {
				return err
			}
		}
		if i, found := leaf.find(key); found && !f(key, leaf.Value(i)) {
			return nil
		}
	}
	return nil
}

// Leaf returns the leaf page that has key if any has, and the first key of the leaf after it, or nil.
func (t Tree) Leaf(key []byte) (leaf Page, next []byte, err error) {
	leaf = t.inline
	err = t.descend(key, func(p Page, i int) error {
		if p.Leaf {
			leaf = p
		} else if i+1 < p.Count {
			next = p.Key(i + 1)
		}
		return nil
	})
	return leaf, next, err
}

// Around reads the pages that bbolt may touch when key alone is removed: those on the way to it and their neighbours,
// with which bbolt merges a page that gets too small.
func (t Tree) Around(key []byte) error {
	return t.descend(key, func(p Page, i int) error {
		for _, beside := range []int{i - 1, i + 1} {
			if !p.Leaf && beside >= 0 && beside < p.Count {
				if _, err := t.snapshot.Page(p.Child(beside)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// descend calls f with each page on the way to key, and the element of a branch page that leads there.
func (t Tree) descend(key []byte, f func(p Page, i int) error) error {
	if t.root == 0 {
		return nil
	}
	id := t.root
	for range MaxDepth {
		p, err := t.snapshot.Page(id)
		if err != nil {
			return err
		}
		if p.Leaf {
			return f(p, 0)
		}
		i := p.childOf(key)
		if err := f(p, i); err != nil {
			return err
		}
		id = p.Child(i)
	}
	return &Damage{id, "the tree does not end"}
}
