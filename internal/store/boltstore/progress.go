package boltstore

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"accountservice/internal/awake"
	"accountservice/internal/store"
)

const (
	// clockTurn is how exactly the time is measured that the disk takes.
	clockTurn = 50 * time.Millisecond
	// latencySpan is how long a slow answer is remembered.
	latencySpan = time.Minute
)

// latency is how long the disk takes to answer, in time in which this process gets CPU.
type latency struct {
	clock     *awake.Clock
	running   sync.WaitGroup // the clock
	slowAfter time.Duration
	hungAfter time.Duration

	mu      sync.Mutex
	longest time.Duration // within latencySpan
	at      time.Duration // of the clock
}

func newLatency(slowAfter, hungAfter time.Duration) *latency {
	return &latency{clock: awake.NewClock(clockTurn), slowAfter: slowAfter, hungAfter: hungAfter}
}

func (l *latency) run(stop <-chan struct{}) { l.running.Go(func() { l.clock.Run(stop) }) }

func (l *latency) note(took time.Duration) {
	if took <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.clock.Now(); took >= l.longest || now-l.at > latencySpan {
		l.longest, l.at = took, now
	}
}

// slowest is the longest answer of the last minute.
func (l *latency) slowest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clock.Now()-l.at > latencySpan {
		return 0
	}
	return l.longest
}

// progress is how the disk answers one goroutine: each answered system call is progress. Only that goroutine calls
// begin, answered and end.
type progress struct {
	*latency
	since atomic.Int64 // of the clock: when the disk last answered, or the work began; 0 without work
}

// begin notes that work begins now, or goes on: what came before was not the disk's time.
func (p *progress) begin() { p.since.Store(int64(p.clock.Now())) }

// answered notes that the disk answered just now, if work is under way.
func (p *progress) answered() {
	if before := p.since.Load(); before != 0 {
		now := p.clock.Now()
		p.note(now - time.Duration(before))
		p.since.Store(int64(now))
	}
}

func (p *progress) end() {
	p.answered()
	p.since.Store(0)
}

// waiting is how long the disk has not answered the work under way; 0 without work.
func (p *progress) waiting() time.Duration {
	before := p.since.Load()
	if before == 0 {
		return 0
	}
	return p.clock.Now() - time.Duration(before)
}

// hung is ErrUnavailable if the disk has not answered for longer than a slow one takes.
func (p *progress) hung() error {
	if waiting := p.waiting(); waiting > p.hungAfter {
		return fmt.Errorf("%w: its disk has not answered for %s", store.ErrUnavailable, rounded(waiting))
	}
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// watched is a file whose answers are progress.
type watched struct {
	io.ReaderAt
	progress *progress
}

func (w watched) ReadAt(p []byte, off int64) (int, error) {
	defer w.progress.answered()
	return w.ReaderAt.ReadAt(p, off)
}
