package main

import (
	"os"
	"syscall"
	"testing"
)

// BenchmarkStart is the time from the start of the process to its first 200 on
// /health, with 100,000 accounts in the database.
func BenchmarkStart(b *testing.B) {
	path := newPath(b)
	p := start(b, path, "ACCOUNTSERVICE_STORE_SEED=100000")
	p.await(b, "/health", 200)
	p.signal(b, syscall.SIGTERM)
	p.exits(b, 0)
	for b.Loop() {
		p := start(b, path)
		p.await(b, "/health", 200)
		b.StopTimer()
		p.signal(b, syscall.SIGTERM)
		p.exits(b, 0)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
	if info, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "MB")
	}
}
