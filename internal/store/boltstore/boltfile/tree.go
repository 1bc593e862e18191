package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

const (
	// MaxDepth is the most pages on a way from a root to a leaf. A tree of the largest file has less than a third of
	// them; a longer way is damage.
	MaxDepth = 64
	// MaxOverflow bounds the bytes that follow a page as part of it. The records of this service need less, and a
	// damaged count must not claim memory.
	MaxOverflow = 1 << 20
)

// ErrNoBucket: the snapshot has no bucket of the name.
var ErrNoBucket = errors.New("bucket is gone")

// ErrOtherRoot: the page that holds all buckets is not what the transaction wrote.
var ErrOtherRoot = errors.New("its root page is not the one that was written: it is damaged, or another database " +
	"was written over it")

// Snapshot is the database as one transaction sees it. It is stable as long as that transaction lives, which keeps
// its pages from being used again.
type Snapshot struct {
	File     io.ReaderAt
	PageSize int64  // in bytes
	Root     uint64 // page id of the bucket that holds all other buckets
	RootSum  uint64 // the Sum that the page Root must have, or 0
	TxID     uint64 // transaction
	Buffers  *Buffers
	Branches *Branches
}

// Branches are branch pages of one snapshot that were read and found whole. They may be used by many reads at once. The
// nil Branches keep none.
type Branches struct {
	pages sync.Map // id -> Page
	count atomic.Int64
}

// maxBranches bounds the pages of one Branches: 4 MiB of the usual size, the branch pages of millions of accounts.
const maxBranches = 1024

func (b *Branches) get(id uint64) (Page, bool) {
	if b == nil {
		return Page{}, false
	}
	p, known := b.pages.Load(id)
	if !known {
		return Page{}, false
	}
	return p.(Page), true
}

func (b *Branches) add(p Page) {
	if b == nil || p.Leaf || p.Pages > 1 || b.count.Add(1) > maxBranches {
		return
	}
	p.b = bytes.Clone(p.b) // it may be in Buffers
	b.pages.Store(p.ID, p)
}

// Buffers are memory for the pages of one read after another, each of which ends with Reset: its pages, keys and values
// must not be used after it. The nil Buffers take new memory for each page.
type Buffers struct {
	pages [][]byte
	used  int
}

// Reset begins the next read.
func (b *Buffers) Reset() { b.used = 0 }

func (b *Buffers) page(size int64) []byte {
	if b == nil {
		return make([]byte, size)
	}
	if b.used == len(b.pages) {
		b.pages = append(b.pages, nil)
	}
	if int64(len(b.pages[b.used])) != size {
		b.pages[b.used] = make([]byte, size)
	}
	b.used++
	return b.pages[b.used-1]
}

// Page reads a page of a tree with those that follow as part of it. An error is a *Damage, or that of a read.
func (s Snapshot) Page(id uint64) (Page, error) {
	if p, known := s.Branches.get(id); known {
		return p, nil
	}
	b := s.Buffers.page(s.PageSize)
	if _, err := s.File.ReadAt(b, int64(id)*s.PageSize); err != nil {
		return Page{}, fmt.Errorf("page %d: %w", id, err)
	}
	h := ParseHeader(b)
	if more := int64(h.Overflow) * s.PageSize; h.ID == id && more > 0 {
		if more > MaxOverflow {
			return Page{}, &Damage{id, fmt.Sprintf("its header says that %d pages follow as part of it", h.Overflow)}
		}
		first := b
		b = make([]byte, s.PageSize+more)
		copy(b, first)
		if _, err := s.File.ReadAt(b[s.PageSize:], (int64(id)+1)*s.PageSize); err != nil {
			return Page{}, fmt.Errorf("page %d: %w", id, err)
		}
	}
	p, err := parsePage(b, id)
	if err == nil {
		s.Branches.add(p)
	}
	return p, err
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
	if err == nil && s.RootSum != 0 && leaf.ID == s.Root && leaf.Sum() != s.RootSum {
		err = ErrOtherRoot
	}
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

// TxID returns the transaction that the tree is of.
func (t Tree) TxID() uint64 { return t.snapshot.TxID }

// With returns the tree, whose next read takes these buffers.
func (t Tree) With(b *Buffers) Tree {
	t.snapshot.Buffers = b
	return t
}

// Get returns the value of key, or nil.
func (t Tree) Get(key []byte) ([]byte, error) {
	leaf, next, err := t.Leaf(key)
	if err != nil {
		return nil, err
	}
	return t.value(leaf, next, key)
}

// After calls f with each key greater than key and its value, in order, until f returns false. f may keep both.
func (t Tree) After(key []byte, f func(k, v []byte) bool) error {
	depth := -1 // of the leaf before, or unknown
	for at := key; ; {
		leaf, next, err := t.Leaf(at)
		if err == nil && depth >= 0 && leaf.depth != depth {
			err = leaf.uneven()
		}
		if err != nil {
			return err
		}
		for i, _ := leaf.find(at); i < leaf.Count; i++ {
			if k := leaf.Key(i); !bytes.Equal(k, key) && !f(k, leaf.Value(i)) {
				return nil
			}
		}
		if next == nil {
			return t.nothingBetween(leaf, nil)
		}
		at, depth = next, leaf.depth // next is greater than at, in a damaged tree too
	}
}

// Each calls f with each of these keys that exists, and its value, until f returns false. The keys must be sorted:
// each leaf is read once.
func (t Tree) Each(keys [][]byte, f func(k, v []byte) bool) error {
	var leaf Page
	var next []byte // the first key of the leaf after it
	for n, key := range keys {
		var err error
		if n == 0 || next != nil && bytes.Compare(key, next) >= 0 {
			if leaf, next, err = t.Leaf(key); err != nil {
				return err
			}
		}
		v, err := t.value(leaf, next, key)
		if err != nil {
			return err
		}
		if v != nil && !f(key, v) {
			return nil
		}
	}
	return nil
}

// value returns the value of key in its leaf, or nil. nil is proved: if one flipped bit in the leaf or in a branch page
// can be why key is not found, that is an error.
func (t Tree) value(leaf Page, next, key []byte) ([]byte, error) {
	i, found := leaf.find(key)
	if found {
		return leaf.Value(i), nil
	}
	for _, beside := range []int{i - 1, i} { // a changed key is still where it was
		if beside >= 0 && beside < leaf.Count && leaf.IsRecord(beside) && isWhole(key, leaf.Value(beside)) {
			return nil, &Damage{leaf.ID, fmt.Sprintf("the record of %.80q has the key %.80q", key, leaf.Key(beside))}
		}
	}
	if i == leaf.Count {
		return nil, t.nothingBetween(leaf, next)
	}
	return nil, nil
}

// nothingBetween returns an error if the tree can have keys after those of the leaf and before next, the key that the
// leaf after it begins with, or nil: a branch page says another key than that leaf has, or leads past branch pages to a
// leaf. All leaves of a tree have the same depth.
func (t Tree) nothingBetween(leaf Page, next []byte) error {
	if leaf.depth == 0 {
		return nil
	}
	other, _, err := t.Leaf(next) // of nil, the first one
	if err == nil && other.depth != leaf.depth {
		err = leaf.uneven()
	}
	return err
}

// Leaf returns the leaf page that has key if any has, and the first key of the leaf after it, or nil.
func (t Tree) Leaf(key []byte) (leaf Page, next []byte, err error) {
	return t.descend(key, func(Page, int, []byte) error { return nil })
}

// Around reads the pages that bbolt may touch when key alone is removed: those on the way to it and their neighbours,
// with which bbolt merges a page that gets too small.
func (t Tree) Around(key []byte) error {
	_, _, err := t.descend(key, func(p Page, i int, end []byte) error {
		for _, beside := range []int{i - 1, i + 1} {
			if beside >= 0 && beside < p.Count {
				if _, _, err := t.snapshot.child(p, beside, end); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

// descend returns what Leaf does. It calls f with each branch page on the way to key, the element that leads there, and
// the key before which all keys of the page are, or nil.
func (t Tree) descend(key []byte, f func(p Page, i int, end []byte) error) (leaf Page, next []byte, err error) {
	if t.root == 0 {
		return t.inline, nil, nil
	}
	p, err := t.snapshot.Page(t.root)
	for range MaxDepth {
		if err != nil {
			return Page{}, nil, err
		}
		if p.Leaf {
			return p, next, nil
		}
		i := p.childOf(key)
		if err := f(p, i, next); err != nil {
			return Page{}, nil, err
		}
		p, next, err = t.snapshot.child(p, i, next)
	}
	return Page{}, nil, &Damage{p.ID, "the tree does not end"}
}

// child reads the page of element i of the branch page p, whose own keys are all less than end, or have no bound if end
// is nil. It returns the bound of the child too. A child whose keys are not those that p says is damage: of one of
// them.
func (s Snapshot) child(p Page, i int, end []byte) (Page, []byte, error) {
	if i+1 < p.Count {
		end = p.Key(i + 1)
	}
	c, err := s.Page(p.Child(i))
	if err != nil {
		return Page{}, nil, err
	}
	if c.Count == 0 || !bytes.Equal(c.Key(0), p.Key(i)) || end != nil && bytes.Compare(c.Key(c.Count-1), end) >= 0 {
		what := fmt.Sprintf("page %d does not have the keys from %.80q on that it says", c.ID, p.Key(i))
		return Page{}, nil, &Damage{p.ID, what}
	}
	c.depth = p.depth + 1
	return c, end, nil
}
