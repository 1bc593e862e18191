package connections

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxStreams bounds the requests that one connection of HTTP/2 may have at once.
	maxStreams = 100
	// receiveBuffer is how many bytes of a stream, and of a connection of HTTP/2, may be received before they are read.
	receiveBuffer = 256 << 10
	// perStream is the estimated memory of a stream in bytes, without its header and bodies.
	perStream = 16 << 10
)

// stream is a request of HTTP/2, of which a connection can have many at once. The memory of a stream counts for its
// connection. If a client is slow at one stream, only that stream is cut: behind a proxy, the others can be of other
// clients.
type stream struct {
	http.ResponseWriter
	pace
	conn    *Conn
	phase   atomic.Int32 // serving, reading or writing
	in, out int64        // as in Conn; guarded by Conn.mu
	ahead   int64        // how many bytes of its body it could have received before they are read

	mu    sync.Mutex
	ended bool // the ResponseWriter must not be used any more
}

// serveStream serves a request of HTTP/2 as a stream. What is left of its answer is sent while the stream still counts:
// net/http would send it later, and a client that gives no window for it could hold any number of streams unseen. The
// price is that net/http adds no Content-Length, which HTTP/2 does not need. An answer that panics is cut off.
func (c *Conn) serveStream(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	s := c.open(w, r)
	defer s.end()
	r = r.WithContext(r.Context())
	r.Body = watchedStream{r.Body, s}
	handler.ServeHTTP(s, r)
	s.Flush()
}

// open begins a stream, which end ends.
func (c *Conn) open(w http.ResponseWriter, r *http.Request) *stream {
	s := &stream{ResponseWriter: w, conn: c, pace: pace{left: patience * minRate}}
	s.phase.Store(int32(serving))
	s.touch(c.pool.now(), 0)
	c.multi.Store(true)
	c.mu.Lock()
	if c.streams == nil {
		c.streams = make(map[*stream]struct{})
	}
	c.streams[s] = struct{}{}
	c.mu.Unlock()
	header := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			header += len(name) + len(value)
		}
	}
	s.ahead = receiveBuffer
	if r.ContentLength >= 0 {
		s.ahead = min(s.ahead, r.ContentLength)
	}
	c.receive(s.ahead)
	c.hold(&s.in, perStream+perRead*int64(header))
	return s
}

// receive adds to the bytes that streams could have received before they are read. Whichever have them, a connection has
// receiveBuffer of them at most.
func (c *Conn) receive(ahead int64) {
	c.mu.Lock()
	c.ahead += ahead
	more := c.set(&c.in, min(c.ahead, receiveBuffer))
	c.mu.Unlock()
	c.makeRoom(more)
}

func (s *stream) end() {
	// the end of the answer is sent after this, and the handler may have removed the deadline
	http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(patience * time.Second))
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.conn.receive(-s.ahead)
	s.conn.hold(&s.in, 0)
	s.conn.hold(&s.out, 0)
	s.conn.mu.Lock()
	delete(s.conn.streams, s)
	s.conn.mu.Unlock()
}

// Unwrap is for http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// beginWriting notes that the stream waits for the client from now on: the time before was the service's.
func (s *stream) beginWriting() {
	s.touch(s.conn.pool.now(), 0)
	s.conn.touch(0)
	s.phase.Store(int32(writing))
}

func (s *stream) Write(p []byte) (written int, err error) {
	s.beginWriting()
	defer s.phase.Store(int32(serving))
	s.conn.hold(&s.out, perWrite*int64(len(p)))
	for written < len(p) && err == nil {
		var n int
		n, err = s.ResponseWriter.Write(p[written:min(written+chunk, len(p))])
		written += n
		s.touch(s.conn.pool.now(), n)
	}
	return written, err
}

// Flush implements http.Flusher.
func (s *stream) Flush() {
	s.beginWriting()
	defer s.phase.Store(int32(serving))
	http.NewResponseController(s.ResponseWriter).Flush() // an error is that of the next Write, too
}

// cut ends the wait for a client that is too slow. One that sends a body can be told so.
func (s *stream) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	control, past := http.NewResponseController(s.ResponseWriter), time.Unix(1, 0)
	if phase(s.phase.Load()) == reading {
		control.SetReadDeadline(past)
		return
	}
	control.SetWriteDeadline(past)
}

func (s *stream) abort() { s.cut() }

// turn returns who has to act next; it is never unclear.
func (s *stream) turn() turn {
	if phase(s.phase.Load()) == serving {
		return services
	}
	return clients
}

// watchedStream is the body of a stream's request.
type watchedStream struct {
	io.ReadCloser
	*stream
}

func (b watchedStream) Read(p []byte) (int, error) {
	b.phase.Store(int32(reading))
	defer b.phase.Store(int32(serving))
	n, err := b.ReadCloser.Read(p)
	b.touch(b.conn.pool.now(), n)
	b.conn.hold(&b.in, min(b.in+perRead*int64(n), mostRead))
	return n, err
}

// streamsWait is true if there are streams, and all of them wait for the client.
func (c *Conn) streamsWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		if s.turn() == services {
			return false
		}
	}
	return len(c.streams) > 0
}

// slowStreams returns the streams whose client is too slow. It is called at each sweep.
func (c *Conn) slowStreams(patience int64) (all []*stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		if s.slow(s.turn() == clients, patience) {
			all = append(all, s)
		}
	}
	return all
}
