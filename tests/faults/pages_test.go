//go:build linux

package faults

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"testing"
)

// The layout of bbolt's file, version 2, as its internal/common has it: pages
// begin with id u64, flags u16, count u16, overflow u32; elements follow.
const (
	headerSize  = 16
	elementSize = 16
	flagBranch  = 0x01
	flagLeaf    = 0x02
	bucketFlag  = 0x01
	rootField   = 16 // in a meta
	accountsKey = "AccountBucket"
)

// dbFile is a database file seen from outside of bbolt, by pread and pwrite.
type dbFile struct {
	t    *testing.T
	f    *os.File
	size int64 // of a page
}

func openFile(t *testing.T, path string) *dbFile {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	d := &dbFile{t: t, f: f}
	d.size = int64(binary.NativeEndian.Uint32(d.read(headerSize+8, 4)))
	if d.size < 1024 || d.size > 1<<16 {
		t.Fatalf("%s: page size %d", path, d.size)
	}
	return d
}

func (d *dbFile) read(offset int64, n int) []byte {
	d.t.Helper()
	b := make([]byte, n)
	_, err := d.f.ReadAt(b, offset)
	must(d.t, err)
	return b
}

func (d *dbFile) write(offset int64, b []byte) {
	d.t.Helper()
	_, err := d.f.WriteAt(b, offset)
	must(d.t, err)
}

// garble writes over a stretch what no valid page holds.
func (d *dbFile) garble(offset, n int64) {
	d.t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xA5
	}
	d.write(offset, b)
}

func (d *dbFile) garblePage(id uint64) { d.t.Helper(); d.garble(int64(id)*d.size, d.size) }

// flip turns one bit.
func (d *dbFile) flip(offset int64, bit byte) {
	d.t.Helper()
	b := d.read(offset, 1)
	b[0] ^= bit
	d.write(offset, b)
}

// metaPage is one of the two.
type metaPage struct {
	page     int64 // 0 or 1
	root     uint64
	freelist uint64
	high     uint64 // pages in use
	txid     uint64
	valid    bool
}

func (d *dbFile) meta(page int64) metaPage {
	d.t.Helper()
	b := d.read(page*d.size+headerSize, 64)
	sum := fnv.New64a()
	sum.Write(b[:56])
	order := binary.NativeEndian
	return metaPage{
		page:     page,
		root:     order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]),
		high:     order.Uint64(b[40:]),
		txid:     order.Uint64(b[48:]),
		valid:    order.Uint64(b[56:]) == sum.Sum64(),
	}
}

// metas returns the newer and the older meta page.
func (d *dbFile) metas() (newer, older metaPage) {
	d.t.Helper()
	newer, older = d.meta(0), d.meta(1)
	if older.txid > newer.txid {
		newer, older = older, newer
	}
	return newer, older
}

func (d *dbFile) garbleMeta(m metaPage) { d.t.Helper(); d.garble(m.page*d.size+headerSize, 64) }

// page is a page of a tree, whole.
type page struct {
	id    uint64
	flags uint16
	count int
	b     []byte
	at    int64 // its offset in the file
}

func (d *dbFile) page(id uint64) page {
	d.t.Helper()
	at := int64(id) * d.size
	head := d.read(at, headerSize)
	order := binary.NativeEndian
	overflow := int64(order.Uint32(head[12:]))
	return page{
		id:    order.Uint64(head),
		flags: order.Uint16(head[8:]),
		count: int(order.Uint16(head[10:])),
		b:     d.read(at, int((1+overflow)*d.size)),
		at:    at,
	}
}

// element is one key of a page: with the page below it, or a value.
type element struct {
	key, value         []byte
	keyAt, valueAt     int64 // offsets in the file
	child              uint64
	isBucket, isBranch bool
}

func (p page) element(i int) element {
	order := binary.NativeEndian
	start := headerSize + i*elementSize
	b := p.b[start:]
	if p.flags&flagBranch != 0 {
		pos, n := start+int(order.Uint32(b)), int(order.Uint32(b[4:]))
		return element{key: p.b[pos : pos+n], keyAt: p.at + int64(pos), child: order.Uint64(b[8:]), isBranch: true}
	}
	pos, n, size := start+int(order.Uint32(b[4:])), int(order.Uint32(b[8:])), int(order.Uint32(b[12:]))
	return element{
		key: p.b[pos : pos+n], keyAt: p.at + int64(pos),
		value: p.b[pos+n : pos+n+size], valueAt: p.at + int64(pos+n),
		isBucket: order.Uint32(b)&bucketFlag != 0,
	}
}

// accountsRoot is the root page of the tree of accounts.
func (d *dbFile) accountsRoot() uint64 {
	d.t.Helper()
	newest, _ := d.metas()
	path := d.descend(newest.root, accountsKey)
	leaf := path[len(path)-1]
	for i := range leaf.count {
		if e := leaf.element(i); e.isBucket && string(e.key) == accountsKey {
			return binary.NativeEndian.Uint64(e.value)
		}
	}
	d.t.Fatalf("there is no bucket %s", accountsKey)
	return 0
}

// descend returns the pages from root to the leaf that holds key.
func (d *dbFile) descend(root uint64, key string) (path []page) {
	d.t.Helper()
	for id := root; ; {
		p := d.page(id)
		path = append(path, p)
		switch {
		case p.id != id || p.count == 0:
			d.t.Fatalf("page %d is no page of a tree", id)
		case p.flags&flagLeaf != 0:
			return path
		}
		for i := range p.count {
			if e := p.element(i); i == 0 || string(e.key) <= key {
				id = e.child
			}
		}
	}
}

// find returns the place of an account.
func (d *dbFile) find(id string) (path []page, e element) {
	d.t.Helper()
	path = d.descend(d.accountsRoot(), id)
	leaf := path[len(path)-1]
	for i := range leaf.count {
		if e := leaf.element(i); string(e.key) == id {
			return path, e
		}
	}
	d.t.Fatalf("there is no account %s", id)
	return nil, element{}
}

// far is a seeded account that no client of the table asks for.
func far(seeds int) string { return fmt.Sprint(10000 + seeds*3/4) }
