package connections

import (
	"context"
	"time"
)

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
