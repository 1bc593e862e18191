//go:build linux

package faults

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"

	"go.etcd.io/bbolt"
)

// The layout of bbolt's file, version 2, as its internal/common has it: pages
// begin with id u64, flags u16, count u16, overflow u32; elements follow.
const (
	headerSize  = 16
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

// cutInHalf leaves half of the pages that are in use.
func (d *dbFile) cutInHalf() { d.t.Helper(); d.cut(int64(d.newest().high) / 2 * d.size) }

// view shows a transaction of bbolt on a copy: the service may have locked the file itself.
func (d *dbFile) view(f func(tx *bbolt.Tx, accounts *bbolt.Bucket)) {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "copy.db")
	harness.Must(d.t, os.WriteFile(path, d.read(0, int(d.length())), 0o600))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	harness.Must(d.t, err)
	defer db.Close()
	harness.Must(d.t, db.View(func(tx *bbolt.Tx) error { f(tx, tx.Bucket([]byte(accountsKey))); return nil }))
}

func (d *dbFile) garbleAccounts() {
	d.t.Helper()
	d.view(func(_ *bbolt.Tx, accounts *bbolt.Bucket) { d.garblePage(uint64(accounts.Root())) })
}

// record is where an account stands.
type record struct {
	page     int64 // begins here in the file
	count    int   // of the page's records
	key, end int64 // begin of its key and end of its value in the file
}

// record finds the account far.
func (d *dbFile) record() (r record) {
	d.t.Helper()
	whole := d.read(0, int(d.length()))
	d.view(func(tx *bbolt.Tx, accounts *bbolt.Bucket) {
		content := append([]byte(d.far), accounts.Get([]byte(d.far))...)
		for r.count == 0 { // pages that are free may have it, too
			next := bytes.Index(whole[r.end:], content)
			if next < 0 {
				d.t.Fatalf("no leaf page has the account %s", d.far)
			}
			r.key = r.end + int64(next)
			r.end = r.key + int64(len(content))
			info, err := tx.Page(int(r.key / d.size))
			harness.Must(d.t, err)
			if info.Type == "leaf" {
				r.page, r.count = r.key/d.size*d.size, info.Count
			}
		}
	})
	return r
}

// What leads to the account far, damaged.
func (d *dbFile) garbleLeaf() { d.t.Helper(); d.garble(d.record().page, d.size) }
func (d *dbFile) flipType()   { d.t.Helper(); d.flip(d.record().page+8, 0x04) }
func (d *dbFile) flipKey()    { d.t.Helper(); d.flip(d.record().key+4, 0x01) }
func (d *dbFile) flipValue()  { d.t.Helper(); d.flip(d.record().end-8, 0x01) }

// flipCount clears the lowest bit of a page's number of records that is set.
func (d *dbFile) flipCount() {
	d.t.Helper()
	r := d.record()
	d.flip(r.page+10, byte(r.count&-r.count))
}

// branch is the page between the root and the leaf of the account far: of those with its first key or one before it,
// the last.
func (d *dbFile) branch() (branch int64) {
	d.t.Helper()
	d.view(func(tx *bbolt.Tx, accounts *bbolt.Bucket) {
		last := ""
		for id := 2; ; id++ {
			info, err := tx.Page(id)
			harness.Must(d.t, err)
			if info == nil {
				return
			}
			if info.Type != "branch" || id == int(accounts.Root()) {
				continue
			}
			first := int64(id)*d.size + headerSize // element: where its key is from here, and how long
			element := d.read(first, 8)
			at, n := binary.NativeEndian.Uint32(element), binary.NativeEndian.Uint32(element[4:])
			if key := string(d.read(first+int64(at), int(n))); last <= key && key <= d.far {
				branch, last = int64(id), key
			}
		}
	})
	if branch == 0 {
		d.t.Fatal("the tree has fewer than three levels")
	}
	return branch
}

func (d *dbFile) garbleBranch() { d.t.Helper(); d.garblePage(uint64(d.branch())) }

// flipChild makes a branch page lead to another page. Every page stays valid by itself.
func (d *dbFile) flipChild() {
	d.t.Helper()
	leaf, branch := d.record().page/d.size, d.branch()*d.size
	for at := branch + headerSize + 8; at < branch+d.size; at += 16 { // the child of each element
		if int64(binary.NativeEndian.Uint64(d.read(at, 8))) == leaf {
			d.flip(at, 0x08)
			return
		}
	}
	d.t.Fatalf("no element of page %d leads to page %d", branch/d.size, leaf)
}

// flipFree makes the list of free pages name a page that is in use, or none.
func (d *dbFile) flipFree() {
	d.t.Helper()
	at := int64(d.newest().freelist) * d.size
	count := int64(binary.NativeEndian.Uint16(d.read(at+10, 2)))
	if count == 0 {
		d.t.Fatal("no page is free")
	}
	d.flip(at+headerSize+(count-1)*8, 0x04)
}

// flipIdentity damages the service's own record of which database this is.
func (d *dbFile) flipIdentity() {
	d.t.Helper()
	const key = "identity\x01" // the record follows its key
	at := int64(d.newest().root) * d.size
	record := bytes.Index(d.read(at, int(d.size)), []byte(key))
	if record < 0 {
		d.t.Fatal("the root page has no identity")
	}
	d.flip(at+int64(record+len(key))+8, 0x01)
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
