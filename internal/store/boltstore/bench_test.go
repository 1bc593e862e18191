package boltstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// benchStore has 100,000 accounts.
func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "accounts.db"), OpenTimeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(context.Background()) })
	if _, err := s.Seed(b.Context(), store.Fakes(100_000)); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkGet is a read as requests make it, on a goroutine of its own, and
// the same as a plain View, to see what the guard costs.
func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	id := func() store.ID { return store.ID(fmt.Sprint(10000 + rand.IntN(100_000))) }
	b.Run("guarded", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(context.Background(), id()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain View", func(b *testing.B) {
		for b.Loop() {
			if err := s.h.db.View(func(tx *bbolt.Tx) error {
				key := []byte(id())
				_, err := decode(key, tx.Bucket(boltfile.AccountBucket).Get(key))
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPut is one durable write, by one writer and by many at once, whose
// commits are shared.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			s := benchStore(b)
			b.SetParallelism(writers) // times GOMAXPROCS, at least writers
			b.ResetTimer()
			if writers == 1 {
				for b.Loop() {
					if _, err := s.Put(context.Background(), "10000", store.Draft{Name: "x"}, store.Preconditions{}); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				id := store.ID(fmt.Sprint(10000 + rand.IntN(100_000)))
				for pb.Next() {
					if _, err := s.Put(context.Background(), id, store.Draft{Name: "x"}, store.Preconditions{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkCheck is what one run of the health check costs.
func BenchmarkCheck(b *testing.B) {
	s := benchStore(b)
	for b.Loop() {
		if err := s.Check(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
