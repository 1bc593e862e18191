package boltstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
)

// benchStore has 100,000 accounts.
func benchStore(b *testing.B) *boltstore.Store {
	b.Helper()
	s := openAt(b, filepath.Join(b.TempDir(), "accounts.db"))
	_, err := s.Seed(b.Context(), store.Fakes(100_000))
	must(b, err)
	return s
}

// BenchmarkGet is a read as requests make it, on a goroutine of its own.
func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	for b.Loop() {
		if _, err := s.Get(context.Background(), store.ID(fmt.Sprint(10000+rand.IntN(100_000)))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut is one durable write, by many writers at once, whose commits are shared.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{8, 64, 256} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			s := benchStore(b)
			b.SetParallelism(writers) // times GOMAXPROCS, at least writers
			b.ResetTimer()
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
