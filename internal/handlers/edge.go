package handlers

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
)

// requestTimeout bounds the work on one request; its answer is 503 then.
const requestTimeout = 5 * time.Second

// edge is what the operations of one listener have in common: the routes, the log, who may ask and the limits. A nil
// gate refuses nothing.
type edge struct {
	api     huma.API
	log     *failureLog
	maxBody int64
	guard   *guard
	keys    sync.Map // the idempotency keys of requests under way
	hold    *hold    // while the service starts

	requests, lists, bodies, writes, imports, exports *gate
}

// gateOf returns the gate whose places requests of this operation take.
func (e *edge) gateOf(op operation) *gate {
	switch {
	case op.stream && op.scope == auth.Write:
		return e.imports
	case op.stream:
		return e.exports
	case op.list:
		return e.lists
	}
	return e.requests
}

// register makes an operation a route. A request has its head, body and key checked, waits for a store while the
// service starts, then for a place, and only then does its work, with a deadline. An error of handle becomes a problem.
func register[I, O any](e *edge, op operation, handle func(context.Context, *I) (*O, error)) {
	e.api.OpenAPI().OnAddOperation = []huma.AddOpFunc{op.finish}
	huma.Register(e.api, e.described(op), func(ctx context.Context, in *I) (out *O, err error) {
		ctx, cancel := op.bounded(ctx)
		defer cancel()
		if err = decode(ctx, in); err == nil {
			out, err = handle(ctx, in)
		}
		if err != nil {
			return nil, e.log.failed(ctx, op.id, err)
		}
		return out, nil
	})
}

// described returns the operation with its place in the pipeline, for huma.
func (e *edge) described(op operation) huma.Operation {
	d := op.describe(e.guard != nil && op.scope != auth.Health)
	d.Security = e.guard.security(op.scope)
	d.Metadata = map[string]any{beforeKey: e.guard.before(op)}
	if op.scope != auth.Health {
		d.Middlewares = huma.Middlewares{e.limited(op)}
	}
	return d
}

// bounded returns the context with the deadline of a request. A stream has none.
func (op operation) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if op.stream {
		return ctx, func() {}
	}
	due := receivedOf(ctx).due
	if due.IsZero() { // an operation that waits for no place
		due = time.Now().Add(requestTimeout)
	}
	return context.WithDeadline(ctx, due)
}

// decode decodes the body of a request, if it has one. What follows takes little CPU, and can wait for the disk.
func decode(ctx context.Context, in any) error {
	body, has := in.(withBody)
	if !has {
		return nil
	}
	request := receivedOf(ctx)
	if err := body.decode(request.body); err != nil || request.toStore == nil {
		return err
	}
	return request.toStore(ctx)
}

// received is what was read of a request before its work begins.
type received struct {
	gin  *gin.Context
	body []byte // nil of a stream
	key  string // for idempotency, or ""
	due  time.Time

	places  int                         // that the work on the body needs
	toStore func(context.Context) error // takes places of writes in place of those of bodies; may be nil
	leave   func()                      // gives all places back before the end; may be called many times
	still   func() error                // why the caller may not go on with a stream; nil if it may
}

type receivedKey struct{}

func receivedOf(ctx context.Context) received {
	in, _ := ctx.Value(receivedKey{}).(received)
	return in
}

// limited lets an operation begin when its request is read and it has a place. A client that is slow to send its body
// keeps no place from others.
func (e *edge) limited(op operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		in, err := e.receive(c, op, ctx.Operation())
		place := &placedWriter{ResponseWriter: c.Writer, stream: op.stream}
		in.leave = place.leave
		in.still = func() error { return e.guard.still(c.Request, op.scope) }
		if op.stream && op.body == nil {
			place.still = in.still
		}
		defer in.leave()
		if err == nil && in.key != "" {
			if _, taken := e.keys.LoadOrStore(in.key, true); taken {
				err = errInFlight
			} else {
				defer e.keys.Delete(in.key) // whatever way it ends, the next one learns from the store what it did
			}
		}
		switch {
		case err == nil && op.stream:
			err = e.admitStream(ctx.Context(), op, &in, place)
		case err == nil:
			err = e.admit(ctx.Context(), op, &in, place)
		}
		if err != nil {
			refuse(c, err)
			return
		}
		c.Writer = place
		next(huma.WithValue(ctx, receivedKey{}, in))
	}
}

// admit waits until there is a store, and takes the places that a request needs.
func (e *edge) admit(ctx context.Context, op operation, in *received, place *placedWriter) error {
	if e.hold.needed() {
		if err := e.awaitStore(ctx, in.places); err != nil {
			return err
		}
	}
	if in.places > 0 {
		if err := e.bodies.take(ctx, in.places); err != nil {
			return err
		}
		place.body = func() { e.bodies.give(in.places) }
		if op.list { // the queue of lists is slower
			place.leave()
		} else {
			in.toStore = func(ctx context.Context) error { return e.toStore(ctx, place, in.places) }
		}
	}
	in.due = time.Now().Add(requestTimeout) // only now: a slow client is not a slow store
	gate := e.gateOf(op)
	if err := gate.enter(ctx); err != nil {
		return err
	}
	place.gate = gate
	return nil
}

// admitStream is admit for a request without a limit of length: the server cuts a client that is too slow. Its read has
// no deadline from before the wait on, because over HTTP/2 one that has passed stays.
func (e *edge) admitStream(ctx context.Context, op operation, in *received, place *placedWriter) error {
	conn := http.NewResponseController(place)
	if r := in.gin.Request; op.body == nil && r.ContentLength != 0 { // before the answer net/http waits for it
		conn.SetReadDeadline(time.Now().Add(drainTime))
		if err := dropBody(r); err != nil {
			return (&bodyError{err}).problem()
		}
	}
	conn.SetReadDeadline(time.Time{})
	if err := e.admit(ctx, op, in, place); err != nil {
		return err
	}
	conn.SetWriteDeadline(time.Time{})
	return nil
}

// toStore exchanges the places of bodies that a request has for places of writes, so that many writes share a flush. In an
// overload it does not, because few writes at once are served sooner.
func (e *edge) toStore(ctx context.Context, place *placedWriter, places int) error {
	if e.bodies.overloaded() {
		return nil
	}
	if err := e.writes.take(ctx, places); err != nil {
		return err
	}
	place.body()
	place.body = func() { e.writes.give(places) }
	return nil
}

// awaitStore lets a request wait for a store. Meanwhile its body has no place, and counts toward mostUnplaced.
func (e *edge) awaitStore(ctx context.Context, places int) error {
	if places > 0 {
		if err := e.bodies.begin(places, mostUnplaced); err != nil {
			return err
		}
		defer e.bodies.done(places)
	}
	e.hold.wait(ctx)
	return nil
}

// placedWriter gives the places of its request back at the first byte of the answer, so that a client that reads slowly
// keeps no place from others. A stream keeps its place to its end. It aborts a request whose client is gone or was cut, or
// may not go on.
type placedWriter struct {
	gin.ResponseWriter
	body   func() // gives back the places of the body; nil if that is done
	gate   *gate  // nil once the place is given back
	stream bool
	still  func() error // of a stream that is sent
}

func (w *placedWriter) leave() {
	if w.body != nil {
		w.body()
	}
	w.gate.leave()
	w.body, w.gate = nil, nil
}

func (w *placedWriter) Write(p []byte) (int, error) {
	if !w.stream {
		w.leave()
	}
	n, err := 0, error(nil)
	if w.still != nil {
		err = w.still()
	}
	if err == nil {
		n, err = w.ResponseWriter.Write(p)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // an error would be taken for a failure of the service
	}
	return n, nil
}

// Unwrap is for http.ResponseController.
func (w *placedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// receive reads a request, but for the body of a stream. Its error says what is wrong with the request.
func (e *edge) receive(c *gin.Context, op operation, described *huma.Operation) (in received, err error) {
	r := c.Request
	in.gin = c
	err = cmp.Or(checkHead(r, described, cmp.Or(op.media, "application/json")), checkTaken(r, described))
	if err != nil || op.body == nil {
		return in, err
	}
	if err := cmp.Or(checkLength(r, op.stream), checkMedia(r, op.body, op.stream)); err != nil || op.stream {
		return in, err
	}
	if in.body, in.places, err = receiveBody(c, e.bodies, e.maxBody); err == nil && op.key {
		in.key, err = callersKey(r, c.GetString(callerKey))
	}
	return in, err
}
