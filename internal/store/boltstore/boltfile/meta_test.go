package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

func TestMetaLayoutIsBbolts(t *testing.T) {
	db, f := newDB(t)
	for range 3 { // of both pages
		must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte("k"), make([]byte, 50_000)) }))
		m, err := boltfile.InspectFile(f)
		must(t, err)
		must(t, db.View(func(tx *bbolt.Tx) error {
			if m.TxID != uint64(tx.ID()) || m.Size() != tx.Size() || m.PageSize != int64(db.Info().PageSize) || m.Root != uint64(tx.Cursor().Bucket().Root()) {
				t.Errorf("meta %+v, want transaction %d and size %d", m, tx.ID(), tx.Size())
			}
			info, err := tx.Page(int(m.Freelist))
			if err != nil || info.Type != "freelist" {
				t.Errorf("page %d is %+v, %v; want the list of free pages", m.Freelist, info, err)
			}
			_, err = boltfile.ReadFreelist(f, m)
			return err
		}))
	}
}

func TestPagesOfEachSizeAreFound(t *testing.T) {
	for size := 1 << 10; size <= 1<<16; size <<= 1 {
		path := filepath.Join(t.TempDir(), "accounts.db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: size})
		must(t, err)
		must(t, db.Close())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		if m, err := boltfile.InspectFile(f); err != nil || m.PageSize != int64(size) {
			t.Errorf("%d: %+v, %v", size, m, err)
		}
		_, err = f.WriteAt(make([]byte, 80), 0) // of transaction 0, and the only one that says how long a page is
		must(t, err)
		if m, err := boltfile.InspectFile(f); !errors.Is(err, boltfile.ErrOlderMeta) || m.PageSize != int64(size) {
			t.Errorf("%d without its first meta page: %+v, %v", size, m, err)
		}
		must(t, f.Close())
	}
}

// Whoever can write the fields can write the checksum.
func TestMetaPageThatLiesIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		at    int // offset in the meta
		value uint64
		want  string
	}{
		"no page size":             {8, 0, "is not a database"},
		"odd page size":            {8, 4097, "is not a database"},
		"largest page size":        {8, 1 << 31, "is not a database"},
		"high-water mark of 2^52":  {40, 1 << 52, "is cut short"},
		"high-water mark of 2^63":  {40, 1 << 63, "is cut short"},
		"high-water mark of -1":    {40, ^uint64(0), "is cut short"},
		"high-water mark of 3":     {40, 3, "is cut short"},
		"one more page than it is": {40, 9, "is cut short"},
	} {
		b := make([]byte, 8*4096)
		for page := range 2 {
			meta := b[page*4096+boltfile.HeaderSize:][:64]
			binary.NativeEndian.PutUint32(meta, 0xED0CDAED)
			binary.NativeEndian.PutUint32(meta[4:], 2)
			binary.NativeEndian.PutUint32(meta[8:], 4096)
			binary.NativeEndian.PutUint64(meta[40:], 8)
			if c.at == 8 {
				binary.NativeEndian.PutUint32(meta[c.at:], uint32(c.value))
			} else {
				binary.NativeEndian.PutUint64(meta[c.at:], c.value)
			}
			sum := fnv.New64a()
			sum.Write(meta[:56])
			binary.NativeEndian.PutUint64(meta[56:], sum.Sum64())
		}
		if m, err := boltfile.Inspect(strings.NewReader(string(b)), int64(len(b))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v; want %q", name, m, err, c.want)
		}
	}
}

func TestMetaPageIsWrittenAsBboltDoes(t *testing.T) {
	db, read := newDB(t)
	f, err := os.OpenFile(read.Name(), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for range 2 { // of both pages
		must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte("k"), make([]byte, 50_000)) }))
		m, err := boltfile.InspectFile(f)
		must(t, err)
		page, at := make([]byte, m.PageSize), int64(m.TxID%2)*m.PageSize
		_, err = f.ReadAt(page, at)
		must(t, err)
		want := bytes.Clone(page[:boltfile.HeaderSize+64])
		_, err = f.WriteAt(make([]byte, len(want)), at)
		must(t, err)
		must(t, boltfile.WriteMeta(f, m))
		_, err = f.ReadAt(page, at)
		must(t, err)
		if got := page[:len(want)]; !bytes.Equal(got, want) {
			t.Errorf("%+v is written as %x, want %x", m, got, want)
		}
	}
}

func TestFreePagesAreCountedAlsoBeyondTheHeader(t *testing.T) {
	order := binary.NativeEndian
	for _, c := range []struct {
		count uint16
		first uint64
		want  int64
		words string
	}{{0, 7, 0, "<nil>"}, {65534, 7, 65534, "<nil>"}, {65535, 65535, 65535, "<nil>"}, {65535, 70000, 70000, "<nil>"}, {65535, 1 << 60, 0, "its list of free pages is damaged"}} {
		file := make([]byte, 8192)
		page := file[4096:]
		order.PutUint64(page, 1)
		order.PutUint16(page[8:], boltfile.FreelistPage)
		order.PutUint16(page[10:], c.count)
		order.PutUint64(page[boltfile.HeaderSize:], c.first)
		got, err := boltfile.FreePages(bytes.NewReader(file), boltfile.Meta{PageSize: 4096, Freelist: 1, HighWater: 80000})
		if got != c.want || !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%d, %d: %d, %v; want %d, %s", c.count, c.first, got, err, c.want, c.words)
		}
	}
	if _, err := boltfile.FreePages(bytes.NewReader(make([]byte, 4096)), boltfile.Meta{PageSize: 4096, Freelist: 1, HighWater: 9}); err == nil {
		t.Error("a file without the list gives no error")
	}
}
