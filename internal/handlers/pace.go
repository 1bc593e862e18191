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
	ctx  context.Context // when it ends, the read deadline must be set to end a Read under way
	conn *http.ResponseController
	body io.Reader
}

func (b *pacedBody) Read(into []byte) (int, error) {
	begun := time.Now()
	b.conn.SetReadDeadline(b.deadline(begun))
	if err := b.ctx.Err(); err != nil { // the deadline may have replaced the one that ends it all
		return 0, &bodyError{err}
	}
	n, err := b.body.Read(into)
	b.took(begun, n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// listTimeout bounds how long a client may take for a list, which is in memory.
const listTimeout = 30 * time.Second

// pacedWriter is an answer. It is cut off if its client is gone or too slow.
type pacedWriter struct {
	gin.ResponseWriter
	pace
	until time.Time // the end of it all, or zero
}

// Write implements io.Writer.
func (w *pacedWriter) Write(all []byte) (written int, err error) {
	conn := http.NewResponseController(w.ResponseWriter)
	for written < len(all) {
		begun := time.Now()
		deadline := w.deadline(begun)
		if !w.until.IsZero() && w.until.Before(deadline) {
			deadline = w.until
		}
		conn.SetWriteDeadline(deadline)
		n, err := w.ResponseWriter.Write(all[written:min(written+chunk, len(all))])
		w.took(begun, n)
		written += n
		if err != nil {
			panic(http.ErrAbortHandler) // an error would be taken for a failure of the service
		}
	}
	return written, nil
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
