package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueuedLog is how many bytes of log wait for a slow reader.
	maxQueuedLog = 1 << 20
	// logStuckAfter is how long one write of the log may take until the check fails.
	logStuckAfter = 2 * time.Second
)

// logQueue is an io.Writer that never waits for the log's reader. A write to a full pipe blocks, and Docker's log
// delivery blocks by default; without the queue each goroutine that logs would stop with it. Lines beyond maxQueuedLog,
// and lines that cannot be written, are dropped and counted.
type logQueue struct {
	out     io.Writer
	wake    chan struct{} // has room for one: there are lines to write
	closing chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	waiting []byte
	failed  error // of the last write, nil after one that succeeded

	dropped      atomic.Uint64
	writingSince atomic.Pointer[time.Time] // nil while no write is under way
}

// newLogQueue starts the goroutine that writes to out. Call close to flush and end it.
func newLogQueue(out io.Writer) *logQueue {
	q := &logQueue{out: out, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	go q.run()
	return q
}

// Write queues one line. It never blocks and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting)+len(line) > maxQueuedLog {
		q.dropped.Add(1)
		return len(line), nil
	}
	q.waiting = append(q.waiting, line...)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (q *logQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.wake:
			q.flush()
		case <-q.closing:
			q.flush()
			return
		}
	}
}

// flush writes what waits now.
func (q *logQueue) flush() {
	q.mu.Lock()
	lines := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	begun := time.Now()
	q.writingSince.Store(&begun)
	n, err := q.out.Write(lines)
	q.writingSince.Store(nil)
	q.dropped.Add(uint64(bytes.Count(lines[n:], []byte("\n"))))
	q.mu.Lock()
	q.failed = err
	q.mu.Unlock()
}

// close writes what waits and ends the goroutine. It waits for that no longer than limit.
func (q *logQueue) close(limit time.Duration) {
	close(q.closing)
	select {
	case <-q.done:
	case <-time.After(limit):
	}
}

// check fails while the log's reader takes no lines, or is gone.
func (q *logQueue) check(context.Context) error {
	if begun := q.writingSince.Load(); begun != nil && time.Since(*begun) > logStuckAfter {
		return fmt.Errorf("the reader of the log has taken nothing for %s; %d lines were dropped; look at the log driver",
			time.Since(*begun).Round(time.Second), q.dropped.Load())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed != nil {
		return fmt.Errorf("the log can't be written; %d lines were dropped: %w", q.dropped.Load(), q.failed)
	}
	return nil
}
