package connections

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

const (
	// lateTime bounds how long a stop waits for requests that the handler does not have.
	lateTime = 2 * time.Second
	// drainStep is how often a stop looks for what it waits for.
	drainStep = 10 * time.Millisecond
)

// served is a listener that is served.
type served struct {
	net.Listener
	ended chan struct{} // closed when it is served no longer: what was accepted is in the pool then
}

// stop refuses new connections, and closes the listener when those that clients had opened are accepted.
func (s *served) stop(ctx context.Context) {
	if refuse(s.Listener) {
		began := time.Now()
		wait(ctx, func() bool { return time.Since(began) > grace && !queuing(s.Listener) })
	}
	s.Close() // again by the server, which returns the error
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
}

// arrival is how far the requests of a connection have come.
type arrival struct {
	opened  int64       // on the pool's clock
	asked   atomic.Bool // there was a request, or HTTP/2
	handled atomic.Bool // the handler has the request
}

// fresh is true if the client opened the connection just now and has sent no request: its first can take a few round
// trips, as of TLS. Shutdown would wait for it as well, but give no answer.
func (a *arrival) fresh(now int64) bool { return !a.asked.Load() && now-a.opened < int64(lateTime) }

// Drain stops listening, has slow clients cut at once, and returns when no request is on its way to the handler, after
// lateTime, or when ctx ends. The server may be shut down then: net/http gives no answer to a request that it reads
// later, and the kernel resets each connection that waits to be accepted when the listener closes.
func (p *Pool) Drain(ctx context.Context) {
	p.mu.Lock()
	p.patience = drainPatience
	served := p.served
	p.mu.Unlock()
	began := time.Now()
	if served != nil {
		served.stop(ctx)
	}
	wait(ctx, func() bool { return time.Since(began) > lateTime || !p.coming() })
}

// coming is true if the handler is about to get a request, or a client may be about to send one. A client can have it
// true for ever, as by requests that net/http answers itself.
func (p *Pool) coming() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		switch is := c.is(); {
		case is == serving && !c.handled.Load(), is == idle && (c.turn() != clients || c.fresh(p.now())):
			return true
		}
	}
	return false
}

// wait returns when done is true, or when ctx ends.
func wait(ctx context.Context, done func() bool) {
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
