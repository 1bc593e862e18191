package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// TestPagesReadAsBboltReads compares every lookup and walk with bbolt's own, on
// trees that grew and shrank at random.
func TestPagesReadAsBboltReads(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 5, 300, 20_000} {
		s := openAt(t, filepath.Join(t.TempDir(), "accounts.db"))
		key := func() []byte { return []byte(fmt.Sprint(r.IntN(2*size + 1))) }
		for range 4 {
			must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
				b := tx.Bucket(accountBucket)
				for range size {
					if r.IntN(3) == 0 {
						must(t, b.Delete(key()))
					} else {
						// some values need pages of their own
						must(t, b.Put(key(), bytes.Repeat([]byte("v"), r.IntN(40)*(1+r.IntN(50)/49*400))))
					}
				}
				return nil
			}))
		}
		must(t, s.h.db.View(func(tx *bbolt.Tx) error {
			want := tx.Bucket(accountBucket)
			got, err := s.h.snapshot(tx).bucket(accountBucket)
			must(t, err)
			for range 500 {
				k := key()
				v, err := got.get(k)
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
				must(t, got.after(from, func(k, v []byte) bool {
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
			return nil
		}))
	}
}

// image is a good database's used pages, in memory.
func image(t testing.TB) (content []byte, top uint64) {
	t.Helper()
	s := openAt(t, filepath.Join(t.TempDir(), "accounts.db"))
	must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error {
		for i := range 3000 {
			must(t, tx.Bucket(accountBucket).Put([]byte(fmt.Sprint(i)), []byte(strings.Repeat("v", i%50))))
		}
		return nil
	}))
	must(t, s.h.db.View(func(tx *bbolt.Tx) error {
		top = s.h.snapshot(tx).top
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
		snap := snapshot{file: bytes.NewReader(content), pageSize: 4096, top: top}
		b, err := snap.bucket(accountBucket)
		if err != nil {
			return
		}
		b.get([]byte("1500"))
		n := 0
		b.after(nil, func([]byte, []byte) bool { n++; return n < 100_000 })
	})
}
