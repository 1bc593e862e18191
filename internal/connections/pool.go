// Package connections bounds what clients make the service hold by their connections: their number, their memory, and
// the time that a slow client takes. It knows the states of net/http's server, and nothing of routes and requests.
package connections

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// minRate is how fast a client must send its body and take its answer, in bytes a second.
	minRate = 8 << 10
	// patience is for how many seconds it may stand still, if it was as fast before; drainPatience while the service
	// stops.
	patience      = 10
	drainPatience = 1
	// sweepEvery is how often slow clients are looked for; every logEvery-th time it is logged what was closed.
	sweepEvery = time.Second
	logEvery   = 10
	// fewest is how many connections there may be, however few file descriptors there are.
	fewest = 8
)

// Limits of a Pool.
type Limits struct {
	Connections int   // at least 1
	Bytes       int64 // of memory that all connections may be taken to hold
}

// LimitsFor returns the limits of a process that may have so many file descriptors and bytes of memory. Clients get a
// quarter of the memory, and all file descriptors but 64, or but a quarter if they are few.
func LimitsFor(descriptors, memory int64) Limits {
	bytes := memory / 4
	room := max(descriptors-64, descriptors*3/4)
	return Limits{Connections: int(max(fewest, min(room, bytes/perConn))), Bytes: bytes}
}

// Pool has the connections of a server. When there are more than it may have, or they hold more memory, it closes
// those that hold most for longest: the memory that one holds, times the time since a byte moved on it. Those that wait
// for the service come last. A client that is slower than minRate is cut.
type Pool struct {
	log   *slog.Logger
	begun time.Time

	bytes   int64 // limit of held
	most    atomic.Int64
	count   atomic.Int64 // of open
	held    atomic.Int64 // bytes, by connections that are open
	leaving atomic.Int64 // bytes, by connections that were closed, and whose goroutine has not ended
	closed  atomic.Int64 // how many, to make room, since that was logged

	evicting sync.Mutex
	quiet    time.Time // nothing is looked for until then

	mu       sync.Mutex
	open     map[*Conn]struct{}
	patience int64 // in seconds
}

// New returns a Pool, which needs Run.
func New(limits Limits, log *slog.Logger) *Pool {
	p := &Pool{log: log, begun: time.Now(), bytes: limits.Bytes, open: make(map[*Conn]struct{}), patience: patience}
	p.most.Store(int64(limits.Connections))
	return p
}

// Most is how many connections there may be.
func (p *Pool) Most() int { return int(p.most.Load()) }

// now is a monotonic clock.
func (p *Pool) now() int64 { return int64(time.Since(p.begun)) }

// Serve serves on l as server.Serve does, with the connections in the pool.
func (p *Pool) Serve(server *http.Server, l net.Listener) error {
	handler := server.Handler
	server.ConnState, server.ConnContext = setState, withConn
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			if conn, is := r.Context().Value(connKey{}).(*Conn); is {
				// A copy: of its own request net/http must see the body's type. It tells it not to wait, before the
				// answer, for a body that nobody read.
				r = r.WithContext(r.Context())
				r.Body = watched{r.Body, conn}
			}
		}
		handler.ServeHTTP(w, r)
	})
	return server.Serve(pooled{reserved{l, p}})
}

// add puts a connection into the pool, and makes room for it.
func (p *Pool) add(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, pool: p, left: patience * minRate}
	c.touch(0)
	p.held.Add(perConn)
	p.mu.Lock()
	p.open[c] = struct{}{}
	p.count.Store(int64(len(p.open)))
	p.mu.Unlock()
	if p.over() {
		p.settle()
	}
	return c
}

// remove is for a connection that was closed.
func (p *Pool) remove(c *Conn, held int64) {
	p.leaving.Add(held)
	p.held.Add(-held)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	p.count.Store(int64(len(p.open)))
}

// Drain has slow clients cut at once, so that they do not delay a stop.
func (p *Pool) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.patience = drainPatience
}

// Run cuts slow clients and logs what was closed, until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, c := range p.slow() {
			c.cut()
		}
		if n%logEvery == 0 {
			p.report()
		}
	}
}

// slow returns the connections whose clients are too slow. It is called at each sweep.
func (p *Pool) slow() (all []*Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		moved, is := c.moved.Swap(0), c.is()
		if is == serving || is == idle && p.patience == patience { // net/http bounds the idle and headers
			c.left = p.patience * minRate
			continue
		}
		if c.left = min(c.left+moved, p.patience*minRate) - minRate; c.left < 0 {
			all = append(all, c)
		}
	}
	return all
}

func (p *Pool) report() {
	if closed := p.closed.Swap(0); closed > 0 {
		p.log.Warn("connections were closed to make room for others: see http.max_connections", "closed", closed,
			"open", p.count.Load(), "at_most", p.most.Load(), "bytes", p.held.Load(), "bytes_at_most", p.bytes)
	}
}
