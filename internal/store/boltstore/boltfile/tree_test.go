package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/tests/harness"
)

var bucket = []byte("bucket")

// newDB returns an empty database that bbolt has open, with one bucket, and its file.
func newDB(t testing.TB) (*bbolt.DB, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	must(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }))
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return db, f
}

var must = harness.Must

// snapshot is the database as tx sees it.
func snapshot(f *os.File, tx *bbolt.Tx) boltfile.Snapshot {
	return boltfile.Snapshot{File: f, PageSize: int64(tx.DB().Info().PageSize), Root: uint64(tx.Cursor().Bucket().Root())}
}

// TestPagesReadAsBboltReads compares every lookup and walk with bbolt's own, on trees that grew and shrank at random.
func TestPagesReadAsBboltReads(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 5, 300, 20_000} {
		db, f := newDB(t)
		key := func() []byte { return []byte(fmt.Sprint(r.IntN(2*size + 1))) }
		for range 4 {
			must(t, db.Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket(bucket)
				for range size {
					if r.IntN(3) == 0 {
						must(t, b.Delete(key()))
					} else {
						// some values need pages of their own
						k := key()
						must(t, b.Put(k, boltfile.Seal(k, bytes.Repeat([]byte("v"), r.IntN(40)*(1+r.IntN(50)/49*400)))))
					}
				}
				return nil
			}))
		}
		must(t, db.View(func(tx *bbolt.Tx) error {
			want := tx.Bucket(bucket)
			got, err := snapshot(f, tx).Bucket(bucket)
			must(t, err)
			for range 500 {
				k := key()
				v, err := got.Get(k)
				if w := want.Get(k); err != nil || !bytes.Equal(v, w) || (v == nil) != (w == nil) {
					t.Fatalf("%d keys: get(%s) = %.20q, %v; want %.20q", size, k, v, err, w)
				}
			}
			for _, from := range [][]byte{{}, key(), key(), []byte("~")} {
				c := want.Cursor()
				wk, wv := c.Seek(from)
				if wk != nil && bytes.Equal(wk, from) {
					wk, wv = c.Next()
				}
				must(t, got.After(from, func(k, v []byte) bool {
					if !bytes.Equal(k, wk) || !bytes.Equal(v, wv) {
						t.Fatalf("%d keys: walk from %q gives %q, want %q", size, from, k, wk)
					}
					wk, wv = c.Next()
					return true
				}))
				if wk != nil {
					t.Errorf("%d keys: walk from %q ends before %q", size, from, wk)
				}
			}
			keys := [][]byte{[]byte("0"), key(), key(), key(), []byte("~")}
			slices.SortFunc(keys, bytes.Compare)
			found := make(map[string]bool)
			must(t, got.Each(keys, func(k, v []byte) bool {
				found[string(k)] = bytes.Equal(v, want.Get(k))
				return true
			}))
			for _, k := range keys {
				if there := want.Get(k) != nil; found[string(k)] != there {
					t.Errorf("%d keys: Each calls with %q: %v, and bbolt has it: %v", size, k, found[string(k)], there)
				}
				must(t, got.Around(k))
			}
			return nil
		}))
	}
}

func TestMissingBucketIsToldFromDamage(t *testing.T) {
	db, f := newDB(t)
	must(t, db.View(func(tx *bbolt.Tx) error {
		if _, err := snapshot(f, tx).Bucket([]byte("other")); !errors.Is(err, boltfile.ErrNoBucket) {
			t.Errorf("Bucket = %v, want ErrNoBucket", err)
		}
		return nil
	}))
	var damage *boltfile.Damage
	zeros := boltfile.Snapshot{File: bytes.NewReader(make([]byte, 1<<16)), PageSize: 4096, Root: 3}
	if _, err := zeros.Bucket(bucket); !errors.As(err, &damage) || damage.Page != 3 {
		t.Errorf("Bucket in a page of zeros = %v, want damage of page 3", err)
	}
}

// image is a good database's used pages, in memory.
func image(t testing.TB) (content []byte, top uint64) {
	t.Helper()
	db, _ := newDB(t)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		for i := range 3000 {
			key := fmt.Append(nil, i)
			must(t, tx.Bucket(bucket).Put(key, boltfile.Seal(key, []byte(strings.Repeat("v", i%50)))))
		}
		return nil
	}))
	must(t, db.View(func(tx *bbolt.Tx) error {
		top = uint64(tx.Cursor().Bucket().Root())
		var b bytes.Buffer
		_, err := tx.WriteTo(&b)
		content = b.Bytes()
		return err
	}))
	return content, top
}

// FuzzPages damages a database: reading it may fail, and nothing else.
func FuzzPages(f *testing.F) {
	good, top := image(f)
	f.Add(uint32(4096*3+8), uint64(0xffff))
	f.Add(uint32(4096*3+16), uint64(1<<63))
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		content := bytes.Clone(good)
		binary.NativeEndian.PutUint64(content[int(at)%(len(content)-8):], value)
		b, err := boltfile.Snapshot{File: bytes.NewReader(content), PageSize: 4096, Root: top}.Bucket(bucket)
		if err != nil {
			return
		}
		b.Get([]byte("1500"))
		b.Around([]byte("1500"))
		n := 0
		b.After([]byte{}, func([]byte, []byte) bool { n++; return n < 100_000 })
		if n > 3000 {
			t.Fatalf("%d of 3000 keys", n)
		}
	})
}
