package dependency

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// peer is a server that misbehaves, and counts who is connected.
type peer struct {
	net.Listener
	mu                sync.Mutex
	conns             map[net.Conn]bool        // that are open
	markers           map[string]chan struct{} // closed when the connection from this address is accepted
	open, most, total int
}

// newPeer serves every connection with behave, after which it only waits for
// the other side to end it. n is the number of the connection, from 1.
func newPeer(t *testing.T, behave func(c net.Conn, n int)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	p := &peer{Listener: l, conns: make(map[net.Conn]bool), markers: make(map[string]chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.isMarker(c) {
				c.Close()
				continue
			}
			n := p.count(c, 1)
			context.AfterFunc(ctx, func() { c.Close() })
			go func() {
				defer p.count(c, -1)
				defer c.Close()
				behave(c, n)
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return p
}

func (p *peer) count(c net.Conn, change int) (total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c] = true; change < 0 {
		delete(p.conns, c)
	}
	p.open = len(p.conns)
	p.most = max(p.most, p.open)
	p.total += max(0, change)
	return p.total
}

// cut ends all connections.
func (p *peer) cut(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.settles(t)
}

func (p *peer) counted() (open, most, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.most, p.total
}

func (p *peer) isMarker(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	accepted, is := p.markers[c.RemoteAddr().String()]
	if is {
		close(accepted)
	}
	return is
}

// settles waits, as an interval would, for the peer to see the end of the connections that are closed. Some may not
// be accepted yet: they are once a marker is, which connects after them.
func (p *peer) settles(t *testing.T) {
	t.Helper()
	accepted := make(chan struct{})
	p.mu.Lock()
	marker, err := net.Dial("tcp", p.Addr().String())
	harness.Must(t, err)
	defer marker.Close()
	p.markers[marker.LocalAddr().String()] = accepted
	p.mu.Unlock()
	for deadline := time.Now().Add(ample); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		select {
		case <-accepted:
			if open, _, _ := p.counted(); open == 0 {
				return
			}
		default:
		}
	}
	t.Error("the peer sees no end of its connections")
}

const (
	// brief is the timeout of a run that is to use it up, ample of one that is not.
	brief = 2 * time.Second
	ample = 10 * time.Second
)

// newAsker never waits to connect.
func newAsker(t *testing.T, url string) *Asker {
	t.Helper()
	asker, err := New(url, ample, 1000)
	harness.Must(t, err)
	t.Cleanup(asker.Close)
	return asker
}

// runs returns one run of a check of url with its deadline.
func runs(t *testing.T, url string, timeout time.Duration) func() error {
	t.Helper()
	asker, err := New(url, timeout, 1000)
	harness.Must(t, err)
	return func() error { return within(t, asker.Ask, timeout) }
}

// within is one run with this deadline.
func within(t *testing.T, run func(context.Context) error, d time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return run(ctx)
}

func ask(t *testing.T, url string, timeout time.Duration) error {
	t.Helper()
	return runs(t, url, timeout)()
}

// enough is the time for a run that says this.
func enough(want string) time.Duration {
	if strings.Contains(want, "no answer in time") {
		return brief
	}
	return ample
}

// says wants this error; "" is none.
func says(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%.300q, want %q", got, want)
	}
}

// together runs subtests, most of which only wait, many at once: so many that they leave each other time within bounds.
type together struct{ sync.WaitGroup }

var places = make(chan struct{}, 24)

func (g *together) run(t *testing.T, name string, f func(t *testing.T)) {
	g.Go(func() {
		places <- struct{}{}
		defer func() { <-places }()
		t.Run(name, f)
	})
}
