package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// maxQueuedLog is how many lines of log wait for a slow reader.
	maxQueuedLog = 4096
	// logStuckAfter is how long one write of the log may take until the check fails.
	logStuckAfter = 2 * time.Second
)

// logQueue is an io.Writer that never waits for the log's reader. A write to a full pipe blocks, and Docker's log
// delivery blocks by default; without the queue each goroutine that logs would stop with it. Lines beyond maxQueuedLog,
// and lines that cannot be written, are dropped and counted.
type logQueue struct {
	out   io.Writer
	lines chan []byte // nil is the end
	done  chan struct{}

	dropped      atomic.Uint64
	failed       atomic.Pointer[error]     // of the last write, nil after one that succeeded
	writingSince atomic.Pointer[time.Time] // nil while no write is under way
	toldDropped  uint64                    // what dropped was when check ran last; of check alone
}

// newLogQueue starts the goroutine that writes to out. Call close to write what waits and to end it.
func newLogQueue(out io.Writer) *logQueue {
	q := &logQueue{out: out, lines: make(chan []byte, maxQueuedLog), done: make(chan struct{})}
	go q.run()
	return q
}

// Write queues one line. It never blocks and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	select {
	case q.lines <- bytes.Clone(line):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

func (q *logQueue) run() {
	defer close(q.done)
	for line := range q.lines {
		if line == nil {
			return
		}
		q.writingSince.Store(new(time.Now()))
		_, err := q.out.Write(line)
		q.writingSince.Store(nil)
		if err != nil {
			q.dropped.Add(1)
			q.failed.Store(&err)
		} else {
			q.failed.Store(nil)
		}
	}
}

// close writes what waits and ends the goroutine. It waits for that no longer than limit. Later lines are not written.
func (q *logQueue) close(limit time.Duration) {
	late := time.After(limit)
	select {
	case q.lines <- nil:
		select {
		case <-q.done:
		case <-late:
		}
	case <-late:
	}
}

// check fails while the log's reader takes no lines, is gone, or is so slow that lines were dropped since the last run.
// It must not be called by two goroutines at once.
func (q *logQueue) check(context.Context) error {
	dropped := q.dropped.Load()
	lately := dropped - q.toldDropped
	q.toldDropped = dropped
	if begun := q.writingSince.Load(); begun != nil && time.Since(*begun) > logStuckAfter {
		return fmt.Errorf("the reader of the log has taken nothing for %s; %d lines were dropped; look at the log driver",
			time.Since(*begun).Round(time.Second), dropped)
	}
	if err := q.failed.Load(); err != nil {
		return fmt.Errorf("the log can't be written; %d lines were dropped: %w", dropped, *err)
	}
	if lately > 0 {
		return fmt.Errorf("the reader of the log is slow; %d lines were dropped, %d of them since the last run; "+
			"look at the log driver", dropped, lately)
	}
	return nil
}
