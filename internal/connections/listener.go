package connections

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"
)

// Reserved returns a listener whose connections are not in the pool. Where there is no file descriptor for one, the
// pool closes some of its own.
func (p *Pool) Reserved(l net.Listener) net.Listener { return reserved{l, p} }

type reserved struct {
	net.Listener
	pool *Pool
}

func (l reserved) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, syscall.EMFILE) && l.pool.shrink(err): // there is room now
		case scarce(err):
			l.pool.log.Warn("no connection can be accepted for now: the system has too few files or too little memory",
				"err", err)
			return nil, later{err}
		default:
			return conn, err
		}
	}
}

// scarce is true if the system has too few files or too little memory. Others can have used them up, so that fewer
// connections of the pool would not help.
func scarce(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM},
		func(is error) bool { return errors.Is(err, is) })
}

// later is an error of Accept after which net/http tries again within a second. It would stop serving at ENOBUFS and
// ENOMEM.
type later struct{ error }

// Timeout and Temporary implement net.Error.
func (later) Timeout() bool   { return false }
func (later) Temporary() bool { return true }

// shrink halves the number of connections for good, and reports whether that closed any.
func (p *Pool) shrink(cause error) bool {
	p.mu.Lock()
	most := max(fewest, len(p.open)/2)
	p.most.Store(int64(most))
	p.mu.Unlock()
	if p.makeRoom(true) == 0 {
		return false
	}
	p.log.Warn("there are too many open files, so fewer connections are kept from now on: "+
		"raise the limit (ulimit -n) or lower http.max_connections", "at_most", most, "err", cause)
	return true
}

// pooled is a listener whose connections are in the pool.
type pooled struct{ reserved }

func (l pooled) Accept() (net.Conn, error) {
	conn, err := l.reserved.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, is := conn.(*net.TCPConn); is {
		tcp.SetWriteBuffer(sendBuffer) // an error leaves the kernel's bound
	}
	return l.pool.add(conn), nil
}

// served is the listener of a Serve.
type served struct {
	net.Listener
	ended chan struct{} // closed when Serve returns: what was accepted is in the pool then
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

// drainStep is how often a stop looks for what it waits for.
const drainStep = 10 * time.Millisecond

func wait(ctx context.Context, done func() bool) {
	tick := time.Tick(drainStep)
	for !done() {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}
