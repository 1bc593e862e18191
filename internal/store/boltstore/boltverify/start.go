package boltverify

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"

	"accountservice/internal/store/boltstore/boltfile"
)

// CheckFreelist compares the list of free pages of an open database, whose newest meta page is m, with the pages that
// are in use. bbolt believes that list and writes over the pages on it. All branch pages are read, and hardly any leaf
// page: a page that follows a leaf page and that nothing else claims is part of it, as its header says, or free.
//
// If the list is damaged, or pages are lost that no damaged page of a tree leads to, all of the file is read. A list
// that is proved to be the only damage is no error: wrong is what was found, and if write is true, the list is written
// anew, after the last page, by a transaction of its own. Else the file is left as it is.
func CheckFreelist(ctx context.Context, f *os.File, m boltfile.Meta, write bool) (wrong *Finding, err error) {
	report := Report{}
	w := walker{ctx: ctx, file: f, meta: m, report: &report, skim: true}
	w.walk()
	if w.list.broken == 0 && (w.list.lost == 0 || w.list.brokenTrees > 0) || w.ended() {
		return nil, ctx.Err()
	}
	report = Report{}
	w = walker{ctx: ctx, file: f, meta: m, report: &report}
	w.walk()
	if w.ended() || len(report.Findings) == 0 {
		return nil, ctx.Err()
	}
	wrong = &report.Findings[len(report.Findings)-1]
	if !w.onlyList() {
		cure := "restore a backup"
		if len(report.Findings)+report.Omitted <= report.List { // every page of a tree and every record is whole
			cure += ", or keep what is not cut off by accountservice compact --accept-lost-pages"
		}
		return nil, fmt.Errorf("%s; %s, and keep this file: what can be read of it may be newer", wrong, cure)
	}
	if write {
		err = w.rewriteFreelist()
	}
	return wrong, err
}

// onlyList reports whether the list of free pages is damaged, and for sure nothing else. A page that is in use and on
// the list does not prove it: a branch page may lead to the wrong page. It proves it only if the numbers of that page
// and of the only lost page differ in one bit, and the two pages do not hold the same keys.
func (w *walker) onlyList() bool {
	l := &w.list
	switch {
	case l.brokenTrees > 0 || w.meta.HighWater-l.inTrees > maxFree:
		return false
	case l.broken > l.inUse, l.inUse == 0 && l.lost > 0 && l.more:
		return true
	}
	if l.inUse != 1 || l.lost != 1 || bits.OnesCount64(l.lastInUse^l.firstLost) != 1 {
		return false
	}
	used, err := w.meta.Snapshot(w.file).Page(l.lastInUse)
	lost, damage := w.meta.Snapshot(w.file).Page(l.firstLost)
	alike := damage == nil && lost.Leaf == used.Leaf && lost.Count > 0 && used.Count > 0 &&
		string(lost.Key(0)) == string(used.Key(0))
	return err != nil || !alike
}

// rewriteFreelist writes a list of all pages that no tree uses after the last page, and then the meta page that leads
// to it.
func (w *walker) rewriteFreelist() error {
	trees := walker{ctx: w.ctx, file: w.file, meta: w.meta, report: new(Report)}
	trees.meta.Freelist = boltfile.NoFreelist
	trees.walk()
	var free []uint64
	for id := uint64(0); id < uint64(w.meta.HighWater); id++ {
		if trees.uses.claim(id, onFreelist) == unused {
			free = append(free, id)
		}
	}
	m := w.meta
	list := freelistPages(uint64(m.HighWater), m.PageSize, free)
	if _, err := w.file.WriteAt(list, m.Size()); err != nil {
		return fmt.Errorf("writing the list of free pages: %w", err)
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	m.Freelist = uint64(m.HighWater)
	m.HighWater += int64(len(list)) / m.PageSize
	m.TxID++
	if err := boltfile.WriteMeta(w.file, m); err != nil {
		return fmt.Errorf("writing a meta page: %w", err)
	}
	return w.file.Sync()
}

// freelistPages is a list of free pages from page id on, as bbolt writes it.
func freelistPages(id uint64, pageSize int64, free []uint64) []byte {
	order := binary.NativeEndian
	count := len(free)
	var entries []byte
	if count >= manyFree {
		entries, count = order.AppendUint64(nil, uint64(count)), manyFree
	}
	for _, page := range free {
		entries = order.AppendUint64(entries, page)
	}
	pages := (boltfile.HeaderSize + int64(len(entries)) + pageSize - 1) / pageSize
	b := make([]byte, pages*pageSize)
	order.PutUint64(b, id)
	order.PutUint16(b[8:], boltfile.FreelistPage)
	order.PutUint16(b[10:], uint16(count))
	order.PutUint32(b[12:], uint32(pages-1))
	copy(b[boltfile.HeaderSize:], entries)
	return b
}
