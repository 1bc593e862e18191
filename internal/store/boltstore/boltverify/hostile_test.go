package boltverify_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
)

const hostilePage = 4096 // bytes of a page of these files

// hostile is a file made by somebody who knows the format and makes every checksum right.
type hostile struct {
	t    *testing.T
	f    *os.File
	size int64
}

func newHostile(t *testing.T, size int64) *hostile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "accounts.db"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, f.Truncate(size))
	return &hostile{t, f, size}
}

func (h *hostile) write(at int64, b []byte) {
	h.t.Helper()
	_, err := h.f.WriteAt(b, at)
	must(h.t, err)
}

// metas writes both meta pages.
func (h *hostile) metas(root, freelist, highWater uint64) {
	order := binary.NativeEndian
	for page := range int64(2) {
		b := make([]byte, boltfile.HeaderSize+64)
		copy(b, header(uint64(page), boltfile.MetaPage, 0, 0))
		m := b[boltfile.HeaderSize:]
		order.PutUint32(m, 0xED0CDAED)
		order.PutUint32(m[4:], 2)
		order.PutUint32(m[8:], hostilePage)
		order.PutUint64(m[16:], root)
		order.PutUint64(m[32:], freelist)
		order.PutUint64(m[40:], highWater)
		order.PutUint64(m[48:], uint64(page))
		sum := fnv.New64a()
		sum.Write(m[:56])
		order.PutUint64(m[56:], sum.Sum64())
		h.write(page*hostilePage, b)
	}
}

func (h *hostile) page(id uint64, flags, count uint16, overflow uint32, body []byte) {
	h.write(int64(id)*hostilePage, append(header(id, flags, count, overflow), body...))
}

// freelist writes a list of free pages at page 2 whose header counts so many entries.
func (h *hostile) freelist(overflow uint32, count uint64) {
	h.page(2, boltfile.FreelistPage, 0xFFFF, overflow, binary.NativeEndian.AppendUint64(nil, count))
}

func header(id uint64, flags, count uint16, overflow uint32) []byte {
	b := binary.NativeEndian.AppendUint64(nil, id)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint16(b, count)
	return binary.NativeEndian.AppendUint32(b, overflow)
}

// branch is the body of a branch page with these children, under keys of 8 bytes.
func branch(children ...uint64) (body []byte) {
	for i, child := range children {
		body = binary.NativeEndian.AppendUint32(body, uint32((len(children)-i)*elementSize+i*8))
		body = binary.NativeEndian.AppendUint32(body, 8)
		body = binary.NativeEndian.AppendUint64(body, child)
	}
	for i := range children {
		body = binary.BigEndian.AppendUint64(body, uint64(i))
	}
	return body
}

// leaf is the body of a leaf page with one element.
func leaf(flags uint32, key string, value []byte) (body []byte) {
	for _, field := range []int{int(flags), elementSize, len(key), len(value)} {
		body = binary.NativeEndian.AppendUint32(body, uint32(field))
	}
	return append(append(body, key...), value...)
}

// bucketAt is the value of a bucket whose tree begins at this page.
func bucketAt(root uint64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, root), 0)
}

const isBucket = 1 // flag of a leaf's element

// Sizes of hostile files.
const (
	small  = 64 * hostilePage
	pages  = small / hostilePage
	sparse = 3 << 30
	huge   = 8 << 40 // more than any disk of this machine
)

// hostileFiles are made so that a number that is believed costs gigabytes, hours or a panic.
var hostileFiles = map[string]struct {
	size int64
	make func(h *hostile)
	want string
}{
	"overflow of 2^32-1": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.LeafPage, 0, 1<<32-1, nil)
	}, "pages follow as part of it"},
	"overflow of 2^32-1 in a sparse file": {huge, func(h *hostile) {
		h.metas(3, 2, huge/hostilePage)
		h.page(3, boltfile.LeafPage, 0, 1<<31-1, nil)
	}, "pages follow as part of it"},
	"65,535 elements on an empty page": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.LeafPage, 65535, 0, nil)
	}, "don't fit together"},
	"65,535 elements on an empty branch": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.BranchPage, 65535, 0, nil)
	}, "don't fit together"},
	"lengths of 2^32-1": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.LeafPage, 1, 0, bytes.Repeat([]byte{0xff}, 64))
	}, "don't fit together"},
	"root of 2^64-1":              {small, func(h *hostile) { h.metas(^uint64(0), 2, pages) }, "and the database has pages 2 to"},
	"root on a meta page":         {small, func(h *hostile) { h.metas(1, 2, pages) }, "and the database has pages 2 to"},
	"list of free pages at 2^63":  {small, func(h *hostile) { h.metas(3, 1<<63, pages) }, "its list of free pages is damaged"},
	"no list of free pages":       {small, func(h *hostile) { h.metas(3, ^uint64(0), pages) }, "its header says that it is page 0"},
	"a free list of 2^60 entries": {small, func(h *hostile) { h.metas(3, 2, pages); h.freelist(0, 1<<60) }, "entries, and has room for"},
	"a free list of 2^61 entries, whose bytes are 2^64": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.freelist(0, 1<<61)
	}, "entries, and has room for"},
	"a free list as long as a sparse file": {huge, func(h *hostile) {
		h.metas(3, 2, huge/hostilePage)
		h.freelist(1<<32-2, 1<<31)
	}, "its list of free pages is damaged"},
	"a free list of zeros": {huge, func(h *hostile) {
		h.metas(huge/hostilePage-1, 2, huge/hostilePage)
		h.freelist(1<<20, 1<<29-1)
	}, "leads to page 0"},
	"a branch that is its own child": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.BranchPage, 1, 0, branch(3))
	}, "which is in use already"},
	"a cycle of branches": {small, func(h *hostile) {
		h.metas(3, 2, pages)
		h.page(3, boltfile.BranchPage, 2, 0, branch(4, 5))
		h.page(4, boltfile.BranchPage, 2, 0, branch(5, 3))
		h.page(5, boltfile.BranchPage, 2, 0, branch(4, 3))
	}, "which is in use already"},
	"a tree of 10,000 levels": {11_000 * hostilePage, func(h *hostile) {
		h.metas(3, 2, 11_000)
		for id := uint64(3); id < 10_003; id++ {
			h.page(id, boltfile.BranchPage, 1, 0, branch(id+1))
		}
	}, "deeper than any is"},
	"10,000 buckets in each other": {11_000 * hostilePage, func(h *hostile) {
		h.metas(3, 2, 11_000)
		for id := uint64(3); id < 10_003; id++ {
			h.page(id, boltfile.LeafPage, 1, 0, leaf(isBucket, "b", bucketAt(id+1)))
		}
	}, "deeper than any is"},
	"1,000 buckets inline in each other": {300 * hostilePage, func(h *hostile) {
		h.metas(3, 2, 300)
		body := []byte(nil)
		for range 1000 {
			inline := header(0, boltfile.LeafPage, 1, 0)
			if body == nil {
				inline = header(0, boltfile.LeafPage, 0, 0)
			}
			body = leaf(isBucket, "b", append(bucketAt(0), append(inline, body...)...))
		}
		h.page(3, boltfile.LeafPage, 1, uint32((boltfile.HeaderSize+len(body)-1)/hostilePage), body)
	}, "nested deeper than any are"},
	"a leaf that a start need not read, with an overflow of 2^31": {huge, func(h *hostile) {
		h.metas(3, 2, huge/hostilePage)
		h.page(3, boltfile.LeafPage, 1, 0, leaf(isBucket, string(boltfile.AccountBucket), bucketAt(4)))
		h.page(4, boltfile.BranchPage, 2, 0, branch(5, 6))
		h.page(5, boltfile.LeafPage, 1, 0, leaf(0, strings.Repeat("\x00", 8), []byte("{}")))
		h.page(6, boltfile.LeafPage, 0, 1<<31-9, nil)
		h.freelist(0, 1<<60)
	}, "pages follow as part of it"},
	"a sparse file of 3 GiB": {sparse, func(h *hostile) {
		h.metas(3, 2, sparse/hostilePage)
		h.page(2, boltfile.FreelistPage, 0, 0, nil)
		h.page(3, boltfile.LeafPage, 0, 0, nil)
	}, "is neither in use nor free, one of 786428 such pages"},
	"a sparse file of 8 TiB": {huge, func(h *hostile) {
		h.metas(3, 2, huge/hostilePage)
		h.page(2, boltfile.FreelistPage, 0, 0, nil)
		h.page(3, boltfile.BranchPage, 4, 0, branch(10, 1<<20, 1<<30, 1<<31-1))
	}, "is neither in use nor free, one of 2147483640 such pages"},
	"a long way of long pages": {sparse, func(h *hostile) {
		h.metas(3, 2, sparse/hostilePage)
		for i := range uint64(64) { // 1 MiB each, but for their first page not on the disk
			id := 3 + i*257
			children := make([]uint64, 4096)
			for j := range children {
				children[j] = id + 257
			}
			body := branch(children...)
			binary.NativeEndian.PutUint32(body[4095*elementSize+4:], 256*hostilePage-uint32(len(body))) // its last key
			h.page(id, boltfile.BranchPage, 4096, 256, body)
		}
	}, "which is in use already"},
	"a number of a million digits": {small + 2<<20, func(h *hostile) {
		h.metas(3, 2, (small+2<<20)/hostilePage)
		record := boltfile.Seal([]byte("1"), []byte(`{"name":`+strings.Repeat("9", 900_000)+`}`))
		inner := leaf(0, "1", record)
		h.page(3, boltfile.LeafPage, 1, 0, leaf(isBucket, string(boltfile.AccountBucket), bucketAt(4)))
		h.page(4, boltfile.LeafPage, 1, uint32(len(inner)/hostilePage), inner)
	}, "its record is damaged: json"},
}

// Each file must end the verification soon, with little memory and with a verdict.
func TestHostileFileCostsLittleAndGetsAVerdict(t *testing.T) {
	for name, c := range hostileFiles {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, c.size)
			c.make(h)
			var report boltverify.Report
			costsLittle(t, "verify", func(ctx context.Context) {
				var err error
				report, err = boltverify.Verify(ctx, h.f.Name())
				if err != nil || report.Intact || !strings.Contains(fmt.Sprint(report.Findings), c.want) {
					t.Errorf("%d findings %.500v, %v; want %q", len(report.Findings), report.Findings, err, c.want)
				}
			})
			costsLittle(t, "salvage", func(ctx context.Context) {
				report, err := boltverify.Salvage(ctx, h.f.Name(), func(store.Account, error) error { return nil })
				if err != nil || report.Intact {
					t.Errorf("salvage: %.500s, %v", fmt.Sprint(report.Findings), err)
				}
			})
			costsLittle(t, "a start", func(ctx context.Context) {
				s, err := boltstore.Open(ctx, boltstore.Options{Path: h.f.Name()})
				if err == nil {
					storetest.Close(t, s)
					t.Errorf("a start serves it")
				}
			})
			for _, f := range report.Findings {
				if len(f.String()) > 2000 {
					t.Errorf("a finding of %d bytes: %.100s", len(f.String()), f)
				}
			}
		})
	}
}

// costsLittle fails the test if f takes long, or much memory.
func costsLittle(t *testing.T, who string, f func(context.Context)) {
	t.Helper()
	const (
		most   = 160 << 20 // bytes that may be allocated in all, and garbage counts
		within = 20 * time.Second
	)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	begun := time.Now()
	f(ctx)
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("%s: %s, %d KiB", who, took.Round(time.Millisecond), used>>10)
	if used > most || took > within {
		t.Errorf("%s: it took %s and %d MiB", who, took, used>>20)
	}
}

func TestFileCutAtEachPageIsDamaged(t *testing.T) {
	im := readDB(t, closedFile(t, 2000))
	path := filepath.Join(t.TempDir(), "accounts.db")
	for n := range im.highWater {
		for _, more := range []int64{0, 1, im.pageLength / 2} {
			writeFile(t, path, im.b[:n*im.pageLength+more])
			if report, err := boltverify.Verify(t.Context(), path); err != nil || report.Intact || len(report.Findings) == 0 {
				t.Errorf("cut at page %d and %d bytes: %+v, %v", n, more, report, err)
			}
		}
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	path := closedFile(t, 10_000)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := boltverify.Verify(ended, path)
	if !errors.Is(err, context.Canceled) || report.Intact || len(report.Findings) != 0 {
		t.Errorf("%+v, %v; want no verdict", report, err)
	}
	im := readDB(t, path)
	im.b[8] ^= 1 // a meta page's header: found before the context is asked
	writeFile(t, path, im.b)
	report, err = boltverify.Verify(ended, path)
	if err != nil || report.Intact || len(report.Findings) != 2 || !strings.Contains(report.Findings[1].What, "not finished (context canceled); there may be more") {
		t.Errorf("%+v, %v; want what was found, and that it did not finish", report, err)
	}
}
