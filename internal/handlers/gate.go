package handlers

import (
	"container/list"
	"context"
	"math"
	"sync"
	"time"
)

// gate bounds how many requests are worked on at once. The others wait for a place; after wait they get the error full.
// The nil gate has no bound.
//
// The oldest request that waits is served first. In an overload the newest is, so that most are served soon and the
// others refused, instead of all served late. An overload is any of these: the oldest has waited for 9/10 of wait; nearly
// as many wait as were served in the last period of wait; more than twice as many came in that period as were served.
// Clients that ask again only after an answer make none, so that soon after a stall they are served in their order.
//
// No more wait than were served in the last period: beyond that the oldest are refused at once. If soon is shorter than
// wait, an overload leaves only those waiting that are served within soon, at least two, and refuses a request that has
// waited for longer than soon and than twice the mean time between two served ones: none is served late when the overload
// ends. The price: clients that ignore Retry-After prolong what looks like an overload, and a place can stay free until
// the next request comes.
type gate struct {
	wait, soon time.Duration
	full       error
	size       int

	mu      sync.Mutex
	free    int       // places; a request that needs several can wait while some are free
	waiting list.List // of *waiter, the oldest first
	wanted  int       // places that those waiting need
	reading reading
	refused int // since the start
	demand
}

// reading counts the requests whose bodies are being read, and the places that they will need.
type reading struct{ requests, places int }

// demand counts requests in periods of the length wait, while at least one waits.
type demand struct {
	emptied time.Time // when a waiting request got a place the last time
	begun   time.Time // when this period began
	came    int       // requests that found no place in this period
	served  int       // requests that got a place after waiting, in this period
	room    int       // how many can be served in a period, by the last one; 0: unknown
	over    bool      // in the last period more than twice as many came as were served
}

type waiter struct {
	since time.Time
	need  int        // places
	place chan error // gets nil with the places, or the error of a full gate
}

func newGate(size int, wait, soon time.Duration, full error) *gate {
	return &gate{wait: wait, soon: soon, full: full, size: size, free: size}
}

// enter takes a place, which leave gives back, or returns the error of a full gate.
func (g *gate) enter(ctx context.Context) error { return g.take(ctx, 1) }
func (g *gate) leave()                          { g.give(1) }

// take takes need places, at most all that the gate has, or returns the error of a full gate. The caller must give them
// back by give.
func (g *gate) take(ctx context.Context, need int) error {
	if g == nil {
		return nil
	}
	need = min(need, g.size)
	g.mu.Lock()
	if g.free >= need && g.waiting.Len() == 0 {
		g.free -= need
		g.mu.Unlock()
		return nil
	}
	w := &waiter{since: time.Now(), need: need, place: make(chan error, 1)}
	g.forget()
	at := g.waiting.PushBack(w)
	g.wanted += need
	g.came++
	for most := g.most(); g.waiting.Len() > most; {
		g.refuse(g.waiting.Front()).place <- g.full
	}
	g.mu.Unlock()
	select {
	case err := <-w.place:
		return err
	case <-time.After(g.wait):
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-w.place: // in the same moment
		return err
	default:
		g.refuse(at)
		return g.full
	}
}

// forget ends an overload when nobody has waited for a tenth of wait: for a moment nobody waits in an overload, too.
func (g *gate) forget() {
	if g.waiting.Len() == 0 && time.Since(g.emptied) > g.wait/10 {
		g.demand = demand{begun: time.Now()}
	}
}

func (g *gate) remove(at *list.Element) *waiter {
	w := g.waiting.Remove(at).(*waiter)
	g.wanted -= w.need
	return w
}

// refuse removes one that waits, and lets those in that waited behind it and need fewer places.
func (g *gate) refuse(at *list.Element) *waiter {
	w := g.remove(at)
	g.refused++
	g.admit()
	return w
}

// begin announces a request that will need places when its body has been read. It returns the error of a full gate if
// as many requests wait, or have their bodies read, as may wait, or if these would need more than most places with it.
// Otherwise the caller must call done once, before take: when the body has been read, or earlier if that takes too
// long.
func (g *gate) begin(need, most int) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	if g.reading.requests+g.waiting.Len() >= g.most() || g.reading.places+g.wanted+need > most {
		g.came++
		g.refused++
		return g.full
	}
	g.reading.requests++
	g.reading.places += need
	return nil
}

func (g *gate) done(need int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading.requests--
	g.reading.places -= need
}

// most is how many may wait.
func (g *gate) most() int {
	switch {
	case g.room == 0: // unknown
		return math.MaxInt
	case g.over && g.soon < g.wait:
		return max(2, int(float64(g.room)*g.soon.Seconds()/g.wait.Seconds()))
	}
	return g.room
}

// give gives places back, and hands free places to those that wait.
func (g *gate) give(places int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += min(places, g.size)
	g.admit()
}

// admit lets those in for whom there are places.
func (g *gate) admit() {
	for g.waiting.Len() > 0 {
		next := g.waiting.Front()
		if g.over || time.Since(next.Value.(*waiter).since) > g.wait*9/10 ||
			g.room > 0 && g.waiting.Len() > g.room*9/10 {
			next = g.waiting.Back()
		}
		w := next.Value.(*waiter)
		if w.need > g.free {
			return
		}
		if g.late(w) {
			g.refused++
			g.remove(next).place <- g.full
			continue
		}
		g.count()
		g.free -= w.need
		g.remove(next).place <- nil
		g.emptied = time.Now() // if none is left
	}
}

// late is true if w has waited too long in an overload to be served soon.
func (g *gate) late(w *waiter) bool {
	return g.over && g.soon < g.wait && time.Since(w.since) > max(g.soon, 2*g.wait/time.Duration(max(g.room, 1)))
}

// count counts a waiting request that gets a place. room at most halves from one period to the next, so that a stall of
// the disk does not refuse all.
func (g *gate) count() {
	if time.Since(g.begun) >= g.wait {
		g.over, g.room = g.came > 2*g.served, max(g.served, g.room/2)
		g.begun, g.came, g.served = time.Now(), 0, 0
	}
	g.served++
}

// overloaded is true while more than twice as many come as are served.
func (g *gate) overloaded() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over
}

// load returns how many wait, and how many were refused since the start.
func (g *gate) load() (waiting, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.Len(), g.refused
}
