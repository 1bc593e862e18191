package boltverify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// walker reads every page of a database by pread. Each page has one use, so that a cycle ends where it closes; the
// pages in memory at once are those on one way from the root.
type walker struct {
	ctx    context.Context
	file   *os.File
	meta   boltfile.Meta
	report *Report

	uses  uses
	depth int // of the page at hand below the first, through all buckets

	// skim: leaf pages of our buckets are not read, but where a page follows that no other one claims. All leaves of a
	// tree have the same depth: leafDepth, or 0 until the first one is read, or -1 outside of such a bucket.
	skim      bool
	leafDepth int
	leaves    []uint64 // that were not read

	// salvaged, if not nil, is called with each account, or with the id of one that is damaged, and why.
	salvaged func(acc store.Account, damage error)

	broken  int        // findings about the pages of trees and the list of free pages, not about records
	list    listReport // what is known of the list of free pages
	buckets buckets
}

// uses are what pages are used for.
type uses struct {
	blocks  map[uint64]*[usesBlock]use // of pages that have a use: the holes of a sparse file take no memory
	claimed int64                      // how many pages have one
}

// use says what a page is used for.
type use uint8

const (
	unused use = iota
	inTree     // or a meta page, or a part of the list of free pages itself
	onFreelist
)

const usesBlock = 64 // pages

// claim gives a page its use, and returns the one it had. Only the first claim counts.
func (u *uses) claim(id uint64, as use) (before use) {
	block, known := u.blocks[id/usesBlock]
	if !known {
		block = new([usesBlock]use)
		u.blocks[id/usesBlock] = block
	}
	if before = block[id%usesBlock]; before == unused {
		block[id%usesBlock] = as
		u.claimed++
	}
	return before
}

func (u *uses) of(id uint64) use {
	if block, known := u.blocks[id/usesBlock]; known {
		return block[id%usesBlock]
	}
	return unused
}

// walk reads all that hangs on the newest meta page: the bucket of buckets and the list of free pages. After the end
// of ctx it returns early.
func (w *walker) walk() {
	w.uses.blocks, w.leafDepth = make(map[uint64]*[usesBlock]use), -1
	w.buckets.ours, w.buckets.own = make(map[string]bool), make(map[string]bool)
	w.uses.claim(0, inTree) // the meta pages
	w.uses.claim(1, inTree)
	w.bucket(theMeta, w.meta.Root, w.topLevel)
	for _, leaf := range w.leaves {
		w.overflow(leaf)
	}
	if w.ended() {
		return
	}
	if !w.skim {
		w.complete()
	}
	if w.list.brokenTrees = w.broken; w.meta.Freelist == boltfile.NoFreelist {
		w.report.Unsafe = true
		return
	}
	defer func() { w.report.List = w.broken - w.list.brokenTrees }()
	w.list.inTrees = w.uses.claimed
	listIntact := w.freelist()
	w.list.broken = w.broken - w.list.brokenTrees
	if w.salvaged != nil {
		w.lostPages(listIntact)
	}
	w.report.Unsafe = w.report.Unsafe || !listIntact
	if w.list.lost = w.meta.HighWater - w.uses.claimed; !listIntact || w.list.lost == 0 {
		return
	}
	for w.uses.claim(w.list.firstLost, inTree) != unused {
		w.list.firstLost++
	}
	w.breach(at(w.list.firstLost), "is neither in use nor free, one of %d such pages", w.list.lost)
}

const theMeta = "the newest meta page"

func (w *walker) ended() bool { return w.ctx.Err() != nil }

func (w *walker) find(where, format string, args ...any) { w.report.find(where, format, args...) }

// breach is find of something that is no record.
func (w *walker) breach(where, format string, args ...any) {
	w.broken++
	w.find(where, format, args...)
}

func at(id uint64) string { return fmt.Sprint("page ", id) }

// visit is called with each element of a bucket's leaf pages.
type visit func(p boltfile.Page, i int)

// open walks the bucket that element i of p is.
func (w *walker) open(p boltfile.Page, i int, each visit) {
	root, inline, err := p.Bucket(i)
	switch {
	case err != nil:
		w.damage(p.ID, err)
	case root != 0:
		w.bucket(fmt.Sprintf("page %d: bucket %.80q", p.ID, p.Key(i)), root, each)
	case w.depth == boltfile.MaxDepth:
		w.breach(at(p.ID), "its buckets are nested deeper than any are")
	default:
		w.depth++
		for i := range inline.Count {
			each(inline, i)
		}
		w.depth--
	}
}

func (w *walker) bucket(from string, root uint64, each visit) {
	var last []byte
	w.tree(from, root, true, func(p boltfile.Page, i int) {
		key := p.Key(i)
		if last != nil && bytes.Compare(last, key) >= 0 {
			w.breach(at(p.ID), "%.80q comes after %.80q", key, last)
		}
		last = key
		each(p, i)
	})
}

// tree walks a page and those below it and returns its first key, if it can. bbolt names a child by its first key, so
// that a changed key shows, though every key can still be read.
func (w *walker) tree(from string, id uint64, isRoot bool, each visit) (first []byte) {
	if w.depth == w.leafDepth {
		if w.claimTree(from, id, 1) {
			w.leaves = append(w.leaves, id)
		}
		return nil
	}
	p, ok := w.page(from, id)
	if !ok {
		return nil
	}
	if p.Leaf && w.leafDepth == 0 {
		w.leafDepth = w.depth
	}
	w.depth++
	defer func() { w.depth-- }()
	switch {
	case p.Count == 0 && !isRoot:
		w.breach(at(id), "has no elements")
	case p.Leaf:
		for i := range p.Count {
			each(p, i)
		}
	default:
		here := at(id)
		for i := range p.Count {
			first := w.tree(here, p.Child(i), false, each)
			if first != nil && !bytes.Equal(first, p.Key(i)) {
				w.breach(here, "says that page %d begins with %.80q, and it begins with %.80q", p.Child(i), p.Key(i), first)
			}
		}
	}
	if p.Count == 0 {
		return nil
	}
	return p.Key(0)
}

// page claims and reads a page of a tree with those that follow as part of it.
func (w *walker) page(from string, id uint64) (boltfile.Page, bool) {
	if w.ended() || !w.claimTree(from, id, 1) {
		return boltfile.Page{}, false
	}
	if w.depth == boltfile.MaxDepth {
		w.breach(at(id), "the tree is deeper than any is")
		return boltfile.Page{}, false
	}
	p, err := w.meta.Snapshot(w.file).Page(id)
	if err != nil {
		w.damage(id, err)
		return boltfile.Page{}, false
	}
	return p, w.claimTree(at(id), id+1, uint64(p.Pages-1))
}

// overflow claims the pages that follow a leaf page as part of it, if there can be any.
func (w *walker) overflow(leaf uint64) {
	next := leaf + 1
	if next == uint64(w.meta.HighWater) || w.uses.of(next) == inTree {
		return
	}
	b := make([]byte, boltfile.HeaderSize)
	if _, err := w.file.ReadAt(b, int64(leaf)*w.meta.PageSize); err != nil {
		w.damage(leaf, err)
		return
	}
	if h := boltfile.ParseHeader(b); h.ID != leaf || h.Flags != boltfile.LeafPage ||
		int64(h.Overflow)*w.meta.PageSize > boltfile.MaxOverflow {
		w.breach(at(leaf), "is no leaf page, as the others at its depth, or too long")
	} else {
		w.claimTree(at(leaf), next, uint64(h.Overflow))
	}
}

func (w *walker) damage(id uint64, err error) {
	if damage, is := errors.AsType[*boltfile.Damage](err); is {
		w.breach(at(id), "%s", damage.What)
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the file ends before it does")
	}
	w.breach(at(id), "cannot be read: %v", err)
}

// claimTree notes that n pages from id belong to a tree or to the list of free pages itself, and says whether they can.
func (w *walker) claimTree(from string, id, n uint64) (ok bool) {
	if n == 0 {
		return true
	}
	if !w.inBounds(from, id, n) {
		return false
	}
	ok = true
	for i := id; i < id+n; i++ {
		if w.uses.claim(i, inTree) != unused {
			w.breach(from, "leads to page %d, which is in use already", i)
			w.report.Unsafe, ok = true, false
		}
	}
	return ok
}

func (w *walker) inBounds(from string, id, n uint64) bool {
	if all := uint64(w.meta.HighWater); id < 2 || id >= all || n > all-id {
		w.breach(from, "leads to page %d (%d in all), and the database has pages 2 to %d", id, n, all-1)
		return false
	}
	return true
}
