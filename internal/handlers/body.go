package handlers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"accountservice/internal/store/transfer"
)

// withBody is an input that has a body beside its parameters.
type withBody interface{ decode(text []byte) error }

// jsonBody is an input, or the part of one, that is a body of JSON.
type jsonBody[T interface{ Validate() error }] struct{ value T }

func (b *jsonBody[T]) decode(text []byte) error {
	if fault := transfer.Decode(text, &b.value); fault != nil {
		return fault
	}
	return b.value.Validate()
}

const (
	// largeBody is the size in bytes above which a body needs places of its own, because http.max_concurrent of them at
	// once would take so much CPU that all other requests are late. An account with a few labels is smaller.
	largeBody = 4 << 10
	// placesForBodies is how many places there are for each CPU, of largeBody bytes each, to read and check bodies.
	placesForBodies = 8
	// placesForWrites is how many there are to write them: those that share a commit wait for one flush together.
	placesForWrites = 32
	// mostUnplaced is how many places the bodies in memory may need that have none yet: 8 MiB.
	mostUnplaced = 2 << 10
	// bodyLease is how long a body that is being read counts toward mostUnplaced, so that slow clients keep nothing from
	// others. package connections bounds the memory that they hold.
	bodyLease = 50 * time.Millisecond
	// drainTime is how long the body of a refused request may take to arrive. It is read and dropped.
	drainTime = 2 * time.Second
)

// receiveBody reads a body. The work on a large one needs a place of bodies for each largeBody bytes. The caller takes
// them after it was read, so that clients that send slowly, or nothing, keep no place from others. A body that would get
// no place then is refused before it is read, so that it costs no memory and almost no CPU.
func receiveBody(c *gin.Context, bodies *gate, limit int64) (body []byte, places int, err error) {
	r := c.Request
	if length := r.ContentLength; length >= 0 && length <= largeBody || length > limit {
		body, err = readBody(c.Writer, r, limit)
		return body, 0, err
	}
	announced := bodyPlaces(max(r.ContentLength, 1)) // -1 for a body in chunks, which may be small
	if err := bodies.begin(announced, mostUnplaced); err != nil {
		return nil, 0, err
	}
	lease := time.AfterFunc(bodyLease, func() { bodies.done(announced) })
	body, err = readBody(c.Writer, r, limit)
	if lease.Stop() {
		bodies.done(announced)
	}
	if err != nil || len(body) <= largeBody {
		return body, 0, err
	}
	return body, bodyPlaces(int64(len(body))), nil
}

func bodyPlaces(length int64) int {
	return int(min((length+largeBody-1)/largeBody, mostUnplaced))
}

// readBody reads a body whole before any work begins, so that a client that is
// slow, too long or gone is told so, and never costs a transaction.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", limit))
	if r.ContentLength > limit { // before a Read lets a client that waits for 100 Continue send it
		return nil, tooLarge
	}
	r.Header.Del("Expect") // reading tells the client to go on
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, tooLarge
	case err != nil:
		return nil, (&bodyError{err}).problem()
	case len(body) == 0:
		return nil, problem(http.StatusBadRequest, "A body is required.")
	}
	return body, nil
}

// refuse answers a request whose work does not begin, or ended in a panic. What was not read of its body is dropped, for
// drainTime, unless its client was too slow already, or waits for 100 Continue to send it.
func refuse(c *gin.Context, err error) {
	p := problemOf(err)
	if c.Request.ContentLength != 0 && p.Status != http.StatusRequestTimeout { // -1 in chunks
		http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(drainTime)) // a recorder in tests can't
		if c.GetHeader("Expect") == "" {
			dropBody(c.Request)
		}
	}
	writeProblem(c, p)
}

// dropBody reads the rest of a body, until the deadline of the connection, so that a client that sends all of it before
// it reads gets the answer: net/http reads 256 KiB alone and closes the connection then. HTTP/2 needs no such thing.
func dropBody(r *http.Request) error {
	if r.ProtoMajor >= 2 {
		return nil
	}
	_, err := io.Copy(io.Discard, r.Body)
	return err // the client's
}

// bodyError is a failure of the client or its connection, not of the store.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "reading the body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (e *bodyError) problem() *Problem {
	if network, is := errors.AsType[net.Error](e.err); is && network.Timeout() {
		return problem(http.StatusRequestTimeout, "The body did not arrive in time.")
	}
	return problem(http.StatusBadRequest, "The body could not be read to its end.")
}
