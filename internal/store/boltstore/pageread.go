package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"accountservice/internal/store/boltstore/boltfile"
)

// pageReads makes one request at a time read a page. The others that want it wait for that answer, and leave with
// their context. So a page that the disk does not answer holds one thread, however many requests want it, and after
// half of hungAfter nobody waits for it any more, so that the requests for other pages find a place.
//
// A shared page is the right one for all: a read keeps its transaction open until the disk answers, and a page that
// two open transactions can reach does not change. The committer waits no longer than the others, once in a batch, and
// then goes on with other pages; no transaction frees this one before the disk answers, because each would read it first.
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

// readAt is f.ReadAt, shared. Who shares a read waits for it during patience. With apart that is so for the first one too:
// the read is made on a goroutine of its own.
func (r *pageReads) readAt(ctx context.Context, f io.ReaderAt, p []byte, off int64, patience time.Duration,
	apart bool) (int, error) {
	at := place{off, len(p)}
	r.mu.Lock()
	read := r.underWay[at]
	first := read == nil
	if first {
		read = &pageRead{since: r.clock.Now()}
		r.underWay[at] = read
	}
	if (!first || apart) && read.done == nil {
		read.done = make(chan struct{})
	}
	r.mu.Unlock()
	switch {
	case first && apart:
		go func() {
			b := make([]byte, at.size)
			n, err := f.ReadAt(b, off)
			r.finish(at, read, b[:n], err)
		}()
	case first:
		n, err := f.ReadAt(p, off)
		r.finish(at, read, p[:n], err)
		return n, err
	}
	if err := r.await(ctx, read, off, patience); err != nil {
		return 0, err
	}
	return copy(p, read.bytes), read.err
}

func (r *pageReads) finish(at place, read *pageRead, got []byte, err error) {
	r.note(r.clock.Now() - read.since)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.underWay, at)
	if read.done != nil {
		read.bytes, read.err = bytes.Clone(got), err
		close(read.done)
	}
}

// errUnanswered: the disk has not answered a read for so long that nobody waits for it any more.
var errUnanswered = errors.New("the disk has not answered")

// await waits for a read until it has lasted longer than patience.
func (r *pageReads) await(ctx context.Context, read *pageRead, off int64, patience time.Duration) error {
	look := time.Tick(clockTurn)
	for {
		waiting := r.clock.Now() - read.since
		if waiting > patience {
			return fmt.Errorf("%w the read at byte %d for %s", errUnanswered, off, rounded(waiting))
		}
		select {
		case <-read.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look:
		}
	}
}

// held returns how many reads are under way that nobody waits for any more, and for how long any read has been.
func (r *pageReads) held() (held int, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, read := range r.underWay {
		waiting := r.clock.Now() - read.since
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

func (f sharedFile) ReadAt(p []byte, off int64) (int, error) {
	return f.reads.readAt(f.ctx, f.ReaderAt, p, off, f.reads.hungAfter/2, false)
}

// touchedFile is a file read by the committer, which a page that the disk does not answer must not hold up: what the page
// cache has is read at once, and the rest apart.
type touchedFile struct {
	sharedFile
	cached   boltfile.Cached
	patience time.Duration
}

func (f touchedFile) ReadAt(p []byte, off int64) (int, error) {
	if n, err := f.cached.ReadAt(p, off); err == nil {
		return n, nil
	}
	return f.reads.readAt(f.ctx, f.ReaderAt, p, off, f.patience, true)
}
