package main

import (
	"os"
	"testing"
)

// BenchmarkStart is the time from the start of the process to its first 200 on /health, with 100,000 accounts in the
// database.
func BenchmarkStart(b *testing.B) {
	path := newPath(b)
	p := ready(b, path, "ACCOUNTSERVICE_STORE_SEED=100000")
	p.Stop(b, 0)
	for b.Loop() {
		p := ready(b, path)
		b.StopTimer()
		p.Stop(b, 0)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
	if info, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "MB")
	}
}
