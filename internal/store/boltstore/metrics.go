package boltstore

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/store/boltstore/boltfile"
)

// metrics are those of the committer, and the Size.
type metrics struct {
	commits, batch, wait  prometheus.Histogram
	accounts, bytes, free atomic.Int64
}

func newMetrics(h *handle) *metrics {
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "accountservice_bolt_" + name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		commits: histogram("commit_duration_seconds", "Time of one commit, with its flushes to the disk.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		batch: histogram("batch_writes", "Writes that shared one transaction.", 1, 2, 4, 8, 16, 32, 64, 128, maxBatch),
		wait: histogram("queue_wait_seconds", "Time that a write waited until the committer took it.",
			.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5),
	}
	m.accounts.Store(-1)
	m.measure(h)
	return m
}

func (m *metrics) taken(batch []*write) {
	m.batch.Observe(float64(len(batch)))
	for _, w := range batch {
		if !w.begun.IsZero() {
			m.wait.Observe(time.Since(w.begun).Seconds())
		}
	}
}

func (m *metrics) committed(h *handle, took time.Duration) {
	m.commits.Observe(took.Seconds())
	m.measure(h)
}

// measure notes the size of the file, unless its last transaction cannot be read back.
func (m *metrics) measure(h *handle) {
	last := h.last.Load()
	if last == nil {
		return
	}
	info, err := h.file.Stat()
	free, unread := boltfile.FreePages(h.file, last.meta)
	if err == nil && unread == nil {
		m.bytes.Store(info.Size())
		m.free.Store(info.Size() - (last.meta.HighWater-free)*last.meta.PageSize)
	}
}
