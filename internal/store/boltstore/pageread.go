package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// pageReads has each page read by one request at a time. The others that want it wait for that answer, and leave with
// their context. So a page that the disk does not answer holds one thread, however many requests want it, and after
// half of hungAfter nobody waits for it any more, so that the requests for other pages find a place.
//
// A shared page is the right one for all: a read keeps its transaction open until the disk answers, and a page that
// two open transactions can reach does not change.
type pageReads struct {
	*latency
	mu       sync.Mutex
	underWay map[place]*pageRead
}

// place is what is read of the file.
type place struct {
	off  int64
	size int
}

// pageRead is a read under way.
type pageRead struct {
	since time.Duration // of the clock
	done  chan struct{} // closed at its end; nil while nobody else waits for it
	bytes []byte        // for those who wait
	err   error
}

// readAt is f.ReadAt, shared.
func (r *pageReads) readAt(ctx context.Context, f io.ReaderAt, p []byte, off int64) (int, error) {
	at := place{off, len(p)}
	r.mu.Lock()
	now := r.underWay[at]
	if now == nil {
		now = &pageRead{since: r.clock.Now()}
		r.underWay[at] = now
		r.mu.Unlock()
		n, err := f.ReadAt(p, off)
		r.finish(at, now, p[:n], err)
		return n, err
	}
	if now.done == nil {
		now.done = make(chan struct{})
	}
	r.mu.Unlock()
	if err := r.await(ctx, now, off); err != nil {
		return 0, err
	}
	return copy(p, now.bytes), now.err
}

func (r *pageReads) finish(at place, now *pageRead, read []byte, err error) {
	r.note(r.clock.Now() - now.since)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.underWay, at)
	if now.done != nil {
		now.bytes, now.err = bytes.Clone(read), err
		close(now.done)
	}
}

// await waits for a read, while the disk may still answer it.
func (r *pageReads) await(ctx context.Context, now *pageRead, off int64) error {
	look := time.NewTicker(clockTurn)
	defer look.Stop()
	for {
		waiting := r.clock.Now() - now.since
		if waiting > r.hungAfter/2 {
			return fmt.Errorf("the disk has not answered the read at byte %d for %s", off, rounded(waiting))
		}
		select {
		case <-now.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// held returns how many reads are under way that nobody waits for any more, and for how long any read has been.
func (r *pageReads) held() (held int, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, now := range r.underWay {
		waiting := r.clock.Now() - now.since
		longest = max(longest, waiting)
		if waiting > r.hungAfter/2 {
			held++
		}
	}
	return held, longest
}

// sharedFile is a file read by one request.
type sharedFile struct {
	io.ReaderAt
	reads *pageReads
	ctx   context.Context
}

// ReadAt implements io.ReaderAt.
func (f sharedFile) ReadAt(p []byte, off int64) (int, error) {
	return f.reads.readAt(f.ctx, f.ReaderAt, p, off)
}
