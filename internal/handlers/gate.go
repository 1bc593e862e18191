package handlers

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// gate bounds how many do something at once. Others wait up to wait for a place and get full then. The longest waiting
// is first. Once that one has waited for 9/10 of wait, more come than can be served, and the newest is first: most are
// served soon and the others refused, instead of all served late. No more wait than there are connections. The nil gate
// has no bound.
type gate struct {
	wait time.Duration
	full error

	mu      sync.Mutex
	free    int
	waiting list.List // of *waiter, the longest waiting first
}

type waiter struct {
	since time.Time
	place chan struct{} // closed when it has a place
}

func newGate(size int, wait time.Duration, full error) *gate {
	return &gate{wait: wait, full: full, free: size}
}

// enter takes a place, which leave gives back, or returns the error of a full gate.
func (g *gate) enter(ctx context.Context) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	w := &waiter{since: time.Now(), place: make(chan struct{})}
	at := g.waiting.PushBack(w)
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	select {
	case <-w.place:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.place: // in the same moment
		return nil
	default:
		g.waiting.Remove(at)
		return g.full
	}
}

// leave gives a place to one that waits.
func (g *gate) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	next := g.waiting.Front()
	if next == nil {
		g.free++
		return
	}
	if time.Since(next.Value.(*waiter).since) > g.wait*9/10 {
		next = g.waiting.Back()
	}
	close(g.waiting.Remove(next).(*waiter).place)
}
