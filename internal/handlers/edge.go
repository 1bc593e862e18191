package handlers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// requestTimeout bounds the work on one request; its answer is 503 then.
const requestTimeout = 5 * time.Second

// scope is whom an operation is for, and what it may do. It decides the limits, the
// group in the document and some of the errors.
type scope string

const (
	scopeHealth scope = "health" // for probes: never refused, never made to wait
	scopeRead   scope = "read"   // of accounts
	scopeWrite  scope = "write"  // of accounts
	scopeAdmin  scope = "admin"  // for operators
)

// groups are those of the operations in the document.
var groups = map[scope]string{
	scopeHealth: "health", scopeRead: "accounts", scopeWrite: "accounts", scopeAdmin: "maintenance",
}

// operation is one operation: what the document says of it, and its limits.
type operation struct {
	id, method, path     string
	summary, description string

	scope   scope
	success map[string]*huma.Response // if huma can't tell
	errors  []int                     // beside those that the other fields bring
	body    *huma.RequestBody         // nil if it takes none
	query   []*huma.Param             // parameters that huma does not read
	media   string                    // of its answer; "" is JSON
	key     bool                      // it takes an Idempotency-Key
	list    bool                      // it reads many accounts: it takes a place among lists
	quick   quick                     // may be nil
	stream  bool                      // its body or answer has no limit of length: it takes a place among streams
}

// edge is what the operations of one listener have in common: the routes, the log
// and the limits. A nil gate refuses nothing.
type edge struct {
	api     huma.API
	log     *failureLog
	maxBody int64
	keys    sync.Map // the idempotency keys of requests under way

	requests, lists, imports, exports *gate
}

// gateOf returns the gate whose places requests of this operation take.
func (e *edge) gateOf(op operation) *gate {
	switch {
	case op.stream && op.scope == scopeWrite:
		return e.imports
	case op.stream:
		return e.exports
	case op.list:
		return e.lists
	}
	return e.requests
}

// register makes an operation a route. A request has its head, body and key checked, waits for a place, and only then
// does its work, with a deadline. An error of handle becomes a problem.
func register[I, O any](e *edge, op operation, handle func(context.Context, *I) (*O, error)) {
	described := op.describe()
	if op.scope != scopeHealth {
		described.Middlewares = huma.Middlewares{e.limited(op)}
	}
	e.api.OpenAPI().OnAddOperation = []huma.AddOpFunc{op.finish}
	huma.Register(e.api, described, func(ctx context.Context, in *I) (out *O, err error) {
		if !op.stream {
			var cancel context.CancelFunc
			due := receivedOf(ctx).due
			if due.IsZero() { // an operation that waits for no place
				due = time.Now().Add(requestTimeout)
			}
			ctx, cancel = context.WithDeadline(ctx, due)
			defer cancel()
		}
		if body, has := any(in).(withBody); has {
			err = body.decode(receivedOf(ctx).body)
		}
		if err == nil {
			out, err = handle(ctx, in)
		}
		if err != nil {
			return nil, e.log.failed(ctx, op.id, err)
		}
		return out, nil
	})
}

// describe returns what the document says.
func (op operation) describe() huma.Operation {
	d := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{groups[op.scope]},
		Summary: op.summary, Description: op.description, Responses: op.success, Errors: op.errors,
		Parameters: op.query, Metadata: map[string]any{quickKey: op.quick},
	}
	if strings.Contains(op.path, "{id}") { // store.ParseID alone judges it
		id := idSchema()
		d.Parameters = []*huma.Param{{Name: "id", In: "path", Required: true, Description: id.Description, Schema: id}}
	}
	if op.success["200"] == nil && op.success["201"] != nil {
		d.DefaultStatus = http.StatusCreated
	}
	if op.scope == scopeHealth {
		return d
	}
	d.RejectUnknownQueryParameters = true
	d.Errors = append(d.Errors, op.refusals()...)
	if op.key {
		d.Parameters = append(d.Parameters, idempotencyParameter())
	}
	return d
}

// refusals are the statuses that the pipeline answers with.
func (op operation) refusals() []int {
	all := []int{400, 406, 414, 422, 431, 503}
	for status, possible := range map[int]bool{
		408: op.body != nil, 411: op.body != nil, 415: op.body != nil,
		413: op.body != nil && !op.stream,
		409: op.key,
		421: op.scope == scopeAdmin,
		429: op.stream,
		507: op.scope == scopeWrite,
	} {
		if possible {
			all = append(all, status)
		}
	}
	return all
}

// finish adds to the document what huma can't tell: the body, the headers of every answer, and HEAD beside GET.
func (op operation) finish(doc *huma.OpenAPI, d *huma.Operation) {
	d.RequestBody = op.body // only now, or huma would read it
	for _, p := range d.Parameters {
		p.AllowEmptyValue = p.AllowEmptyValue || p.In == "query" && p.Schema.Type == huma.TypeBoolean
	}
	for status, response := range d.Responses {
		headers := []string{requestIDHeader}
		for _, row := range problems {
			if row.problem.retryAfter != "" && fmt.Sprint(row.problem.Status) == status {
				headers = append(headers, "Retry-After")
			}
		}
		if status == "415" && op.method == http.MethodPatch {
			headers = append(headers, "Accept-Patch")
		}
		if response.Headers == nil {
			response.Headers = make(map[string]*huma.Param)
		}
		maps.Copy(response.Headers, headersOf(headers...))
		if names := notTaken(d); status == "400" && names != nil {
			response.Description += "; so is " + strings.Join(names, " or ") + ", which is not supported here"
		}
	}
	if op.method == http.MethodGet {
		doc.Paths[op.path].Head = headOf(d)
	}
}

// received is what was read of a request before its work begins.
type received struct {
	gin  *gin.Context
	body []byte // nil of a stream
	key  string // for idempotency, or ""
	due  time.Time
}

type receivedKey struct{}

func receivedOf(ctx context.Context) received {
	in, _ := ctx.Value(receivedKey{}).(received)
	return in
}

// limited lets an operation begin when its request is read and it has a place. A
// client that is slow to send its body keeps no place from others.
func (e *edge) limited(op operation) func(huma.Context, func(huma.Context)) {
	gate := e.gateOf(op)
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		in, err := e.receive(c, op, ctx.Operation())
		if err == nil && in.key != "" {
			if _, taken := e.keys.LoadOrStore(in.key, true); taken {
				err = errInFlight
			} else {
				defer e.keys.Delete(in.key) // whatever way it ends, the next one learns from the store what it did
			}
		}
		if err == nil {
			in.due = time.Now().Add(requestTimeout) // only now: a slow client is not a slow store
			err = gate.enter(ctx.Context())
		}
		if err != nil {
			writeProblem(c, err)
			return
		}
		place := &placedWriter{ResponseWriter: c.Writer, gate: gate, stream: op.stream}
		defer place.leave()
		if c.Writer = place; op.stream { // no limit of length: the server cuts a client that is too slow
			conn := http.NewResponseController(place)
			conn.SetReadDeadline(time.Time{})
			conn.SetWriteDeadline(time.Time{})
		}
		next(huma.WithValue(ctx, receivedKey{}, in))
	}
}

// placedWriter gives the place of its request back when the answer is made, unless it is a stream: a client that is
// slow to take it keeps no place from others. It aborts the request when its client is gone or was cut.
type placedWriter struct {
	gin.ResponseWriter
	gate   *gate // nil once the place is given back
	stream bool
}

func (w *placedWriter) leave() {
	w.gate.leave()
	w.gate = nil
}

// Write implements io.Writer.
func (w *placedWriter) Write(p []byte) (int, error) {
	if !w.stream {
		w.leave()
	}
	n, err := w.ResponseWriter.Write(p)
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
	if in.body, err = readBody(c.Writer, r, e.maxBody); err == nil && op.key {
		in.key, err = callersKey(r)
	}
	return in, err
}
