package handlers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

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

// readBody reads a body whole before any work begins, so that a client that is
// slow, too long or gone is told so, and never costs a transaction.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", limit))
	if r.ContentLength > limit { // before a Read lets a client that waits for 100 Continue send it
		return nil, tooLarge
	}
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
