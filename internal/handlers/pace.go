package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	// chunkTimeout is how long a stream may stand still.
	chunkTimeout = 10 * time.Second
	// minRate is how fast it must move on the whole, in bytes a second.
	minRate = 8 << 10
	// chunk is how much is written under one deadline, in bytes.
	chunk = 16 << 10
)

// pace gives a stream time as long as data flows, in place of the server's one
// deadline for all of it. Time spent in the store does not count against the client.
type pace struct {
	spent time.Duration
	bytes int64
}

// deadline returns that of the next chunk: chunkTimeout ahead, or less if the
// stream would be slower than minRate by then.
func (p *pace) deadline(now time.Time) time.Time {
	left := chunkTimeout + time.Duration(p.bytes/minRate)*time.Second - p.spent
	return now.Add(min(left, chunkTimeout))
}

func (p *pace) took(begun time.Time, n int) {
	p.spent += time.Since(begun)
	p.bytes += int64(n)
}

// pacedBody is the body of a request.
type pacedBody struct {
	pace
	ctx  context.Context // when it ends, interrupt must be called to end a Read under way
	conn *http.ResponseController
	r    *http.Request
}

func newPacedBody(ctx context.Context, c *gin.Context) *pacedBody {
	return &pacedBody{ctx: ctx, conn: http.NewResponseController(c.Writer), r: c.Request}
}

// interrupt ends a Read under way.
func (b *pacedBody) interrupt() { b.conn.SetReadDeadline(time.Unix(1, 0)) }

func (b *pacedBody) Read(into []byte) (int, error) {
	begun := time.Now()
	b.conn.SetReadDeadline(b.deadline(begun))
	if err := b.ctx.Err(); err != nil { // the deadline may have replaced that of an interrupt
		return 0, &bodyError{err}
	}
	n, err := b.r.Body.Read(into)
	b.took(begun, n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// pacedWriter is the body of an answer.
type pacedWriter struct {
	pace
	conn  *http.ResponseController
	w     http.ResponseWriter
	until time.Time // the end of it all, or zero
}

func newPacedWriter(c *gin.Context) *pacedWriter {
	return &pacedWriter{conn: http.NewResponseController(c.Writer), w: c.Writer}
}

func (w *pacedWriter) Write(all []byte) (written int, err error) {
	for len(all) > 0 && err == nil {
		var n int
		begun := time.Now()
		deadline := w.deadline(begun)
		if !w.until.IsZero() && w.until.Before(deadline) {
			deadline = w.until
		}
		w.conn.SetWriteDeadline(deadline)
		n, err = w.w.Write(all[:min(chunk, len(all))])
		w.took(begun, n)
		written, all = written+n, all[n:]
	}
	return written, err
}

// listTimeout bounds how long a client may take for a list, which is in memory.
const listTimeout = 30 * time.Second

// pacedAnswer is an answer in memory. It is cut off if its client stands still for
// longer than a stream may.
type pacedAnswer struct {
	gin.ResponseWriter
	body *pacedWriter
}

func newPacedAnswer(c *gin.Context) pacedAnswer {
	body := newPacedWriter(c)
	body.until = time.Now().Add(listTimeout)
	return pacedAnswer{c.Writer, body}
}

// Write implements io.Writer.
func (a pacedAnswer) Write(all []byte) (int, error) {
	if _, err := a.body.Write(all); err != nil {
		panic(http.ErrAbortHandler) // huma would report a failure of the service
	}
	return len(all), nil
}

// Unwrap is for http.ResponseController.
func (a pacedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// answerError is a failure of a client that is gone or too slow.
type answerError struct{ err error }

func (e *answerError) Error() string { return "writing the answer: " + e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// last sets the deadline of what the server writes after the handler.
func (w *pacedWriter) last() { w.conn.SetWriteDeadline(time.Now().Add(chunkTimeout)) }
