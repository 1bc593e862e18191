package connections

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// phase is what a connection waits for.
type phase int32

const (
	idle    phase = iota // the client's next request, or the rest of its header
	serving              // the service, which works on a request
	reading              // the client, which sends a body
	writing              // the client, which takes an answer
)

// What a connection is taken to hold, in bytes.
const (
	// perConn is of every connection: a goroutine, two buffers, the kernel's part.
	perConn = 24 << 10
	// perTLS is of one with TLS: its keys and records, and tables of HTTP/2.
	perTLS = 32 << 10
	// perRead is for each byte of a request: the text, and what is made of it.
	perRead = 2
	// mostRead is the most for the bytes of a request: of a body of 1 MiB, the most that http.max_body can be. An import
	// has one batch in memory at a time.
	mostRead = 2 << 20
	// perWrite is for each byte that waits to be sent: the answer, and what it was made of.
	perWrite = 3
	// sendBuffer bounds what the kernel holds of an answer that the client has not taken yet. The kernel's own bound
	// grows to megabytes: a slow client needs longer for these than it may stand still.
	sendBuffer = 64 << 10
	// fewUnread is how many bytes of answers are taken for unread until the kernel is asked.
	fewUnread = 4 << 10
	// grace is how long a client may take for its first request, or its next, before the service waits for it.
	grace = 100 * time.Millisecond
	// lateTime bounds how long a stop waits for requests that the handler does not have.
	lateTime = 2 * time.Second
	// chunk is how much is written at once: what a slow client takes must show soon.
	chunk = 16 << 10
)

// Conn is a connection of a Pool.
type Conn struct {
	net.Conn
	pool *Pool
	pace
	arrival

	phase   atomic.Int32 // a phase, but for writing
	inWrite atomic.Bool
	spoke   atomic.Bool // a byte was read
	multi   atomic.Bool // it is of HTTP/2 and had a request

	mu      sync.Mutex
	closed  bool
	in, out int64                // memory for a request and for an answer, in bytes; of HTTP/2 what no stream has
	sum     int64                // in and out, and those of the streams
	streams map[*stream]struct{} // of HTTP/2, else nil
	ahead   int64                // how many bytes each of the streams could have received before they are read, in all
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

func (c *Conn) is() phase {
	if c.inWrite.Load() {
		return writing
	}
	return phase(c.phase.Load())
}

// turn is who has to act next.
type turn int

const (
	clients  turn = iota // the service waits for the client
	unclear              // a byte moved just now: the client may be about to send its request
	unread               // the client has sent its first bytes, and the service has not read them
	services             // the client waits for the service
)

func (c *Conn) turn() turn {
	is := c.is()
	switch {
	case is == writing:
		return clients
	case is == serving && c.streamsWait():
		return clients
	case is == serving:
		return services
	case pending(c.Conn):
		if !c.spoke.Load() {
			return unread
		}
		return services
	case c.pool.now()-c.since.Load() < int64(grace):
		return unclear
	}
	return clients
}

func (c *Conn) touch(n int) { c.pace.touch(c.pool.now(), n) }

// held returns how much memory the connection is taken to hold, in bytes.
func (c *Conn) held() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool.each + c.sum
}

// hold sets the in or out of the connection or of a stream of it, and makes room for that.
func (c *Conn) hold(part *int64, bytes int64) {
	c.mu.Lock()
	more := c.set(part, bytes)
	c.mu.Unlock()
	c.makeRoom(more)
}

// set sets the part under c.mu, and returns how much more that is.
func (c *Conn) set(part *int64, bytes int64) (more int64) {
	more = bytes - *part
	if !c.closed {
		c.pool.held.Add(more)
		c.sum += more
		*part = bytes
	}
	return more
}

// makeRoom makes room in the pool after the connection began to hold so many bytes more.
func (c *Conn) makeRoom(more int64) {
	if more > 0 && c.pool.over() {
		c.pool.settle()
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.touch(n)
	c.spoke.Store(true)
	if c.is() != serving && !c.multi.Load() { // net/http reads one byte ahead there
		c.hold(&c.in, min(c.in+perRead*int64(n), mostRead))
	}
	if c.is() == idle && bytes.Contains(p[:n], headerEnd) {
		c.phase.Store(int32(serving)) // net/http says so when it gets the CPU to parse the header
	}
	return n, err
}

var headerEnd = []byte("\r\n\r\n")

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (written int, err error) {
	c.touch(0) // the time before was the service's
	c.inWrite.Store(true)
	defer c.inWrite.Store(false)
	before := c.unread()
	if len(p) > chunk {
		c.hold(&c.out, perWrite*int64(len(p)))
	}
	for written < len(p) && err == nil {
		var n int
		n, err = c.Conn.Write(p[written:min(written+chunk, len(p))])
		written += n
		c.touch(n)
	}
	c.sent(before, written)
	return written, err
}

func (c *Conn) unread() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

// sent sets out after n bytes of an answer were written; before is what the client had not taken until then. Together
// they count whole up to fewUnread, and above that as the kernel says. before is not 0 for a client that sends many
// requests at once and reads no answer.
func (c *Conn) sent(before int64, n int) {
	out := before + int64(n)
	if out > fewUnread {
		out = min(int64(n), sendBuffer) // where the kernel can't be asked
		if queued, known := queued(c.Conn); known {
			out = min(queued, sendBuffer)
		}
	}
	c.hold(&c.out, out)
}

// CloseWrite is for net/http, which lets a client read the answer to a request that it has not read to its end.
func (c *Conn) CloseWrite() error {
	if half, is := c.Conn.(interface{ CloseWrite() error }); is {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	again, held := c.closed, c.pool.each+c.sum
	c.closed = true
	c.mu.Unlock()
	if again {
		return net.ErrClosed
	}
	c.pool.remove(c, held)
	return c.Conn.Close()
}

// abort closes the connection and drops what the client has not taken, which the kernel would keep for minutes. One
// that is idle is closed as usual: a client that sees that in time uses another.
func (c *Conn) abort() {
	if tcp, is := c.Conn.(*net.TCPConn); is && c.is() != idle {
		tcp.SetLinger(0) // an error leaves it to the kernel
	}
	c.Close()
}

// cut ends the wait for a client that is too slow. One that sends a body can be told so.
func (c *Conn) cut() {
	if c.is() == reading {
		c.SetReadDeadline(time.Unix(1, 0))
		return
	}
	c.abort()
}

// setState follows the state of the connection. It is for http.Server.ConnState.
func setState(conn net.Conn, state http.ConnState) {
	c := connOf(conn)
	switch state {
	case http.StateActive:
		c.asked.Store(true)
		c.sent(c.unread(), 0)
		c.phase.Store(int32(serving))
	case http.StateIdle:
		c.hold(&c.in, 0)
		c.handled.Store(false)
		c.phase.Store(int32(idle))
	case http.StateClosed:
		c.pool.leaving.Add(-c.held())
	}
}

// connOf returns the Conn below TLS: each connection of the server is one.
func connOf(conn net.Conn) *Conn {
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	return conn.(*Conn)
}

type connKey struct{}

// withConn is for http.Server.ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(conn))
}

// watched is a request's body. Its connection is reading while a Read waits.
type watched struct {
	io.ReadCloser
	conn *Conn
}

func (b watched) Read(p []byte) (int, error) {
	b.conn.phase.Store(int32(reading))
	defer b.conn.phase.Store(int32(serving))
	return b.ReadCloser.Read(p)
}
