//go:build linux

package faults

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"accountservice/tests/harness"
)

// The layout of bbolt's file, version 2, as its internal/common has it: pages
// begin with id u64, flags u16, count u16, overflow u32; elements follow.
const (
	headerSize  = 16
	elementSize = 16
	flagBranch  = 0x01
	flagLeaf    = 0x02
	rootField   = 16 // in a meta
	accountsKey = "AccountBucket"
)

// dbFile is a database file seen from outside of bbolt, by pread and pwrite.
type dbFile struct {
	t    *testing.T
	f    *os.File
	size int64  // of a page
	far  string // a seeded account that no client asks for
}

func openFile(t *testing.T, path string) *dbFile {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, err)
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
	harness.Must(d.t, err)
	return b
}

func (d *dbFile) write(offset int64, b []byte) {
	d.t.Helper()
	_, err := d.f.WriteAt(b, offset)
	harness.Must(d.t, err)
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

func (d *dbFile) cut(size int64) { d.t.Helper(); harness.Must(d.t, d.f.Truncate(size)) }
func (d *dbFile) empty()         { d.t.Helper(); d.cut(0) }

func (d *dbFile) length() int64 {
	d.t.Helper()
	info, err := d.f.Stat()
	harness.Must(d.t, err)
	return info.Size()
}

// flip turns one bit.
func (d *dbFile) flip(offset int64, bit byte) {
	d.t.Helper()
	d.write(offset, []byte{d.read(offset, 1)[0] ^ bit})
}

// metaPage is one of the two.
type metaPage struct {
	at       int64 // of its fields in the file
	root     uint64
	freelist uint64
	high     uint64 // pages in use
	txid     uint64
}

func (d *dbFile) meta(page int64) metaPage {
	d.t.Helper()
	at := page*d.size + headerSize
	b := d.read(at, 64)
	order := binary.NativeEndian
	return metaPage{at, order.Uint64(b[rootField:]), order.Uint64(b[32:]), order.Uint64(b[40:]), order.Uint64(b[48:])}
}

func (d *dbFile) newest() metaPage { d.t.Helper(); return d.meta(d.newestPage()) }
func (d *dbFile) older() metaPage  { d.t.Helper(); return d.meta(1 - d.newestPage()) }

func (d *dbFile) newestPage() int64 {
	d.t.Helper()
	if d.meta(1).txid > d.meta(0).txid {
		return 1
	}
	return 0
}

func (d *dbFile) garbleNewest() { d.t.Helper(); d.garble(d.newest().at, 64) }
func (d *dbFile) garbleOlder()  { d.t.Helper(); d.garble(d.older().at, 64) }
func (d *dbFile) garbleMetas() {
	d.t.Helper()
	d.garble(headerSize, 64)
	d.garble(d.size+headerSize, 64)
}
func (d *dbFile) flipNewest()     { d.t.Helper(); d.flip(d.newest().at+rootField, 0x01) }
func (d *dbFile) flipOlder()      { d.t.Helper(); d.flip(d.older().at+rootField, 0x01) }
func (d *dbFile) garbleRoot()     { d.t.Helper(); d.garblePage(d.newest().root) }
func (d *dbFile) garbleFreelist() { d.t.Helper(); d.garblePage(d.newest().freelist) }
func (d *dbFile) garbleAccounts() { d.t.Helper(); d.garblePage(d.accountsRoot()) }

// cutInHalf leaves half of the pages that are in use.
func (d *dbFile) cutInHalf() { d.t.Helper(); d.cut(int64(d.newest().high) / 2 * d.size) }

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
	key, value     []byte
	keyAt, valueAt int64  // offsets in the file
	child          uint64 // of a branch
}

func (p page) element(i int) element {
	order := binary.NativeEndian
	start := headerSize + i*elementSize
	b := p.b[start:]
	if p.flags&flagBranch != 0 {
		pos, n := start+int(order.Uint32(b)), int(order.Uint32(b[4:]))
		return element{key: p.b[pos : pos+n], keyAt: p.at + int64(pos), child: order.Uint64(b[8:])}
	}
	pos, n, size := start+int(order.Uint32(b[4:])), int(order.Uint32(b[8:])), int(order.Uint32(b[12:]))
	return element{
		key: p.b[pos : pos+n], keyAt: p.at + int64(pos),
		value: p.b[pos+n : pos+n+size], valueAt: p.at + int64(pos+n),
	}
}

// accountsRoot is the root page of the tree of accounts.
func (d *dbFile) accountsRoot() uint64 {
	d.t.Helper()
	path := d.descend(d.newest().root, accountsKey)
	return binary.NativeEndian.Uint64(d.find(path[len(path)-1], accountsKey).value)
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

// find returns the element of a leaf that has this key.
func (d *dbFile) find(leaf page, key string) element {
	d.t.Helper()
	for i := range leaf.count {
		if e := leaf.element(i); string(e.key) == key {
			return e
		}
	}
	d.t.Fatalf("page %d has no key %s", leaf.id, key)
	return element{}
}

// leaf returns the page that holds the account far, and its element.
func (d *dbFile) leaf() (page, element) {
	d.t.Helper()
	path := d.descend(d.accountsRoot(), d.far)
	leaf := path[len(path)-1]
	return leaf, d.find(leaf, d.far)
}

// What leads to the account far, damaged.
func (d *dbFile) garbleLeaf() { d.t.Helper(); leaf, _ := d.leaf(); d.garblePage(leaf.id) }
func (d *dbFile) flipType()   { d.t.Helper(); leaf, _ := d.leaf(); d.flip(leaf.at+8, 0x04) }
func (d *dbFile) flipKey()    { d.t.Helper(); _, e := d.leaf(); d.flip(e.keyAt+4, 0x01) }
func (d *dbFile) flipValue() {
	d.t.Helper()
	_, e := d.leaf()
	d.flip(e.valueAt+int64(len(e.value))-8, 0x01)
}

// flipCount clears the lowest bit of a page's number of records that is set.
func (d *dbFile) flipCount() {
	d.t.Helper()
	leaf, _ := d.leaf()
	d.flip(leaf.at+10, byte(leaf.count&-leaf.count))
}

func (d *dbFile) garbleBranch() {
	d.t.Helper()
	path := d.descend(d.accountsRoot(), d.far)
	if len(path) < 3 {
		d.t.Fatalf("the tree has %d levels", len(path))
	}
	d.garblePage(path[1].id)
}

// renameBucket leaves the page of the bucket's name whole, and the bucket another.
func (d *dbFile) renameBucket() {
	d.t.Helper()
	at := int64(d.newest().root) * d.size
	name := bytes.Index(d.read(at, int(d.size)), []byte(accountsKey))
	if name < 0 {
		d.t.Fatalf("the root page does not name the bucket %s", accountsKey)
	}
	d.write(at+int64(name), []byte("B")) // in place of A
}
