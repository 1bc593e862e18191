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
	// leastBytes is what they may hold, however small the limit of memory is: with less, each one would be closed at once.
	// The service needs more memory than four times as much.
	leastBytes = 4 << 20
)

// Limits of a Pool.
type Limits struct {
	Connections int   // at least 1
	Bytes       int64 // of memory that all connections may be taken to hold
	TLS         bool  // they hold more then
}

// each returns what every connection is taken to hold, in bytes.
func (l Limits) each() int64 {
	if l.TLS {
		return perConn + perTLS
	}
	return perConn
}

// LimitsFor returns the limits of a process that may have so many file descriptors and bytes of memory. Clients get a
// quarter of the memory, and all file descriptors but 64, or but a quarter if they are few.
func LimitsFor(descriptors, memory int64, tls bool) Limits {
	l := Limits{Bytes: max(memory/4, leastBytes), TLS: tls}
	room := max(descriptors-64, descriptors*3/4)
	l.Connections = int(max(fewest, min(room, l.Bytes/l.each())))
	return l
}

// Pool has the connections of a server. When there are more than it may have, or they hold more memory, it closes
// those that hold most for longest: the memory that one holds, times the time since a byte moved on it. Those that wait
// for the service come last. A client that is slower than minRate is cut.
type Pool struct {
	log *slog.Logger
	now func() int64 // a monotonic clock

	bytes   int64 // limit of held
	each    int64 // bytes, that every connection is taken to hold
	most    atomic.Int64
	count   atomic.Int64 // of open
	held    atomic.Int64 // bytes, by connections that are open
	leaving atomic.Int64 // bytes, by connections that were closed, and whose goroutine has not ended
	totals  totals

	evicting sync.Mutex
	quiet    time.Time // nothing is looked for until then

	mu       sync.Mutex
	open     map[*Conn]struct{}
	patience int64   // in seconds
	served   *served // of the last Serve
}

// totals count from the start of the process.
type totals struct {
	closed, room, slow atomic.Int64 // all connections; what was ended to make room, and because a client was slow
	logged             int64        // of room
}

// New returns a Pool, which needs Run.
func New(limits Limits, log *slog.Logger) *Pool {
	begun := time.Now()
	p := &Pool{log: log, now: func() int64 { return int64(time.Since(begun)) }, bytes: limits.Bytes, each: limits.each(),
		open: make(map[*Conn]struct{}), patience: patience}
	p.most.Store(int64(limits.Connections))
	return p
}

// Most is how many connections there may be.
func (p *Pool) Most() int { return int(p.most.Load()) }

// Serve serves on l as server.Serve does, or with a TLSConfig as server.ServeTLS, with the connections in the pool.
func (p *Pool) Serve(server *http.Server, l net.Listener) error {
	served := &served{l, make(chan struct{})}
	defer close(served.ended)
	p.mu.Lock()
	p.served = served
	p.mu.Unlock()
	handler := server.Handler
	server.ConnState, server.ConnContext = setState, withConn
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(*Conn)
		conn.handled.Store(true)
		switch {
		case r.ProtoMajor == 2:
			conn.serveStream(w, r, handler)
			return
		case r.Body != http.NoBody:
			// A copy: net/http must find the body in its own request as it put it there. Otherwise it would wait, before
			// the answer, for a body that nobody read.
			r = r.WithContext(r.Context())
			r.Body = watched{r.Body, conn}
		}
		handler.ServeHTTP(w, r)
	})
	if server.TLSConfig == nil {
		return server.Serve(pooled{reserved{l, p}})
	}
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams,
		MaxReceiveBufferPerConnection: receiveBuffer, MaxReceiveBufferPerStream: receiveBuffer}
	return server.ServeTLS(pooled{reserved{l, p}}, "", "")
}

func (p *Pool) add(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, pool: p, pace: pace{left: patience * minRate}, arrival: arrival{opened: p.now()}}
	c.touch(0)
	p.held.Add(p.each)
	p.mu.Lock()
	p.open[c] = struct{}{}
	p.count.Store(int64(len(p.open)))
	p.mu.Unlock()
	if p.over() {
		p.settle()
	}
	return c
}

// remove takes a closed connection, which held so many bytes, out of the pool.
func (p *Pool) remove(c *Conn, held int64) {
	p.totals.closed.Add(1)
	p.leaving.Add(held)
	p.held.Add(-held)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	p.count.Store(int64(len(p.open)))
}

// Run cuts slow clients and logs what was closed, until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	tick := time.Tick(sweepEvery)
	for n := 0; ; n++ {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		for _, c := range p.slow() {
			c.cut()
			p.totals.slow.Add(1)
		}
		if n%logEvery == 0 {
			p.report()
		}
	}
}

// slow returns the connections and streams whose clients are too slow. It is called at each sweep.
func (p *Pool) slow() (all []interface{ cut() }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		is := c.is()
		if is == idle && p.patience == patience { // net/http bounds the idle and headers
			c.rest()
		} else if c.slow(is != serving, p.patience) {
			all = append(all, c)
		}
		for _, s := range c.slowStreams(p.patience) {
			all = append(all, s)
		}
	}
	return all
}

// pace is how fast a client moves what the service waits for.
type pace struct {
	since atomic.Int64 // when a byte moved last, on the pool's clock
	moved atomic.Int64 // bytes since the last sweep
	left  int64        // how many bytes it may be behind minRate; of the sweep
}

func (p *pace) touch(now int64, n int) {
	p.since.Store(now)
	p.moved.Add(int64(n))
}

// rest lets what comes next have all patience.
func (p *pace) rest() {
	p.moved.Store(0)
	p.left = patience * minRate
}

// slow reports whether the client is too slow. It is called at each sweep; waits says that the service waits for the
// client just now. If it does not, and no byte moved since the last sweep, the client gets all patience again. If bytes
// moved, it does not: a client that sends a few bytes just before each sweep would never be too slow.
func (p *pace) slow(waits bool, patience int64) bool {
	moved := p.moved.Swap(0)
	if !waits && moved == 0 {
		p.left = patience * minRate
		return false
	}
	p.left = min(p.left+moved, patience*minRate)
	if waits {
		p.left -= minRate
	}
	return p.left < 0
}

func (p *Pool) report() {
	all := p.totals.room.Load()
	if closed := all - p.totals.logged; closed > 0 {
		p.totals.logged = all
		p.log.Warn("connections were closed to make room for others", "closed", closed,
			"open", p.count.Load(), "at_most", p.most.Load(), "bytes", p.held.Load(), "bytes_at_most", p.bytes)
	}
}
