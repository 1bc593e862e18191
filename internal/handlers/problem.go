package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"accountservice/internal/store"
)

// Problem is the body of every 4xx and 5xx (RFC 9457).
type Problem struct {
	Type     string         `json:"type,omitempty" format:"uri-reference" doc:"Kind of problem; absent where the status says all"`
	Title    string         `json:"title" doc:"Short name of the kind"`
	Status   int            `json:"status" doc:"HTTP status code"`
	Detail   string         `json:"detail,omitempty" doc:"What went wrong this time, and what to do"`
	Instance string         `json:"instance,omitempty" format:"uri-reference" doc:"/requests/ and the X-Request-Id of the request; a name, not a place"`
	Errors   []InvalidField `json:"errors,omitempty" maxItems:"50" doc:"The parts of the request that were refused, the first 50 of them"`
	// Imported is of an import that ended early.
	Imported *ImportCount `json:"imported,omitempty" doc:"How far an import went"`

	retryAfter, acceptPatch string // headers
}

// InvalidField is one part of a request that was refused. Its value is never
// repeated.
type InvalidField struct {
	Line      int    `json:"line,omitempty" doc:"Which line of an import, from 1"`
	Pointer   string `json:"pointer,omitempty" doc:"Where in the body, as a JSON Pointer (RFC 6901) in a fragment"`
	Parameter string `json:"parameter,omitempty" doc:"Which parameter of path, query or header"`
	Detail    string `json:"detail" doc:"What is wrong with it"`
}

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

func (p *Problem) Error() string             { return p.Title + ": " + p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return problemType }
func (p *Problem) GetHeaders() http.Header {
	header := make(http.Header)
	if p.retryAfter != "" {
		header.Set("Retry-After", p.retryAfter)
	}
	if p.acceptPatch != "" {
		header.Set("Accept-Patch", p.acceptPatch)
	}
	return header
}

const problemType = "application/problem+json"

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// problem returns one that is no more than its status.
func problem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// words is the table from errors of the store to what callers are told. An
// error without a row is a 500 that says nothing; the log says everything.
var words = []struct {
	is      error
	problem Problem
}{
	{store.ErrNotFound, Problem{Status: 404, Type: "/problems/account-not-found", Title: "Account not found",
		Detail: "There is no account with this id."}},
	{store.ErrExists, Problem{Status: 412, Type: "/problems/account-exists", Title: "Account exists",
		Detail: "There is an account with this id, and the request was to create it. Nothing was changed."}},
	{store.ErrVersion, Problem{Status: 412, Type: "/problems/precondition-failed", Title: "Precondition failed",
		Detail: "The account is not in a state that If-Match allows. Read it, and decide again. Nothing was changed."}},
	{store.ErrKeyReused, Problem{Status: 422, Type: "/problems/idempotency-key-reused", Title: "Idempotency key reused",
		Detail: "Another request was made with this Idempotency-Key. Use a new one. Nothing was changed."}},
	{store.ErrTooMuch, Problem{Status: 422, Type: "/problems/too-much", Title: "Too much at once",
		Detail: "The accounts are too large for one answer. Ask for fewer ids at a time."}},
	{store.ErrOutcomeUnknown, Problem{Status: 503, Type: "/problems/outcome-unknown", Title: "Outcome unknown", retryAfter: "5",
		Detail: "The change may or may not have been made. Read before you try again."}},
	{store.ErrNoSpace, Problem{Status: 507, Type: "/problems/no-space", Title: "No space left", retryAfter: "60",
		Detail: "The disk is full. Nothing was changed; reading goes on."}},
	{store.ErrUnavailable, Problem{Status: 503, Type: "/problems/unavailable", Title: "Store unavailable", retryAfter: "5",
		Detail: "The accounts cannot be reached now. Nothing was changed."}},
	{context.DeadlineExceeded, Problem{Status: 503, Type: "/problems/timeout", Title: "Timed out", retryAfter: "5",
		Detail: "The accounts could not be reached in time. Nothing was changed."}},
	{context.Canceled, Problem{Status: 503, Type: "/problems/cancelled", Title: "Cancelled", retryAfter: "1",
		Detail: "The request was given up. Nothing was changed."}},
}

// Problems that no error of the store stands for.
func inFlight() *Problem {
	return &Problem{Status: 409, Type: "/problems/in-flight", Title: "Request in flight", retryAfter: "1",
		Detail: "A request with this Idempotency-Key is under way. Repeat it to get its answer."}
}

func busy() *Problem {
	return &Problem{Status: 503, Type: "/problems/busy", Title: "Busy", retryAfter: "1",
		Detail: "Too many requests are under way. Nothing was changed."}
}

func conditionRequired(headers string) *Problem {
	return &Problem{Status: 428, Type: "/problems/precondition-required", Title: "Precondition required",
		Detail: "This service takes changes only with a condition: " + headers + ". Nothing was changed."}
}

// malformed is of a header that can't be read.
func malformed(header, detail string) *Problem {
	p := problem(http.StatusBadRequest, "A header of the request is malformed. Nothing was changed.")
	p.Errors = []InvalidField{{Parameter: header, Detail: detail}}
	return p
}

// invalidAt is of an item of a list in the body.
func invalidAt(err error, list string, index int) error {
	var invalid *store.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	return unprocessable(InvalidField{Pointer: fmt.Sprintf("#/%s/%d", list, index), Detail: invalid.Reason})
}

// toProblem puts an error into words.
func toProblem(err error) *Problem {
	var ready *Problem
	if errors.As(err, &ready) {
		return ready
	}
	var invalid *store.Invalid
	if errors.As(err, &invalid) {
		field := InvalidField{Detail: invalid.Reason}
		if invalid.Field == "id" {
			field.Parameter = "id"
		} else {
			field.Pointer = fragment("/" + invalid.Field)
		}
		return unprocessable(field)
	}
	for _, row := range words {
		if errors.Is(err, row.is) {
			p := row.problem
			return &p
		}
	}
	return problem(http.StatusInternalServerError, "")
}

// maxErrors bounds what a problem lists: an answer is not to be longer than what
// it refuses.
const maxErrors = 50

func unprocessable(fields ...InvalidField) *Problem {
	slices.SortFunc(fields, func(a, b InvalidField) int { // maps gave them
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Parameter, b.Parameter))
	})
	p := problem(http.StatusUnprocessableEntity, "The request was understood and refused. Nothing was changed.")
	p.Type, p.Title, p.Errors = "/problems/invalid", "Invalid request", fields[:min(len(fields), maxErrors)]
	return p
}

// failed logs what the caller is not told, and returns what it is.
func (a API) failed(ctx context.Context, operation string, err error) error {
	p := toProblem(err)
	if p.Status < 500 || errors.Is(err, context.Canceled) {
		return p
	}
	if again, due := a.said.due(operation+p.Type, time.Now()); due {
		a.Log.ErrorContext(ctx, "request failed", "operation", operation, "status", p.Status, "err", err, "not_logged", again)
	}
	return p
}

// repeatAfter is how long failures of one kind are counted, not logged, after
// one was logged: a store that is down fails every request the same way.
const repeatAfter = 10 * time.Second

// repeats remembers which failures were logged lately. Its keys are few.
type repeats struct {
	mu   sync.Mutex
	last map[string]*logged
}

type logged struct {
	at    time.Time
	again int
}

// due says whether to log a failure of this kind now, and how many were not
// logged since the last that was.
func (r *repeats) due(kind string, now time.Time) (again int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.last[kind]
	if known != nil && now.Sub(known.at) < repeatAfter {
		known.again++
		return 0, false
	}
	if known != nil {
		again = known.again
	}
	if r.last == nil {
		r.last = make(map[string]*logged)
	}
	r.last[kind] = &logged{at: now}
	return again, true
}

// write answers with p, outside of huma.
func write(c *gin.Context, p *Problem) {
	p.Instance = instance(c.Request.Context())
	for name, values := range p.GetHeaders() {
		c.Writer.Header()[name] = values
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	c.Abort()
	c.Data(p.Status, problemType, append(body, '\n'))
}

// recoverPanic answers a panic like any other error, if nothing was sent yet.
func (a API) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v != http.ErrAbortHandler {
			a.Log.ErrorContext(c.Request.Context(), "request panicked", "method", c.Request.Method, "route", c.FullPath(), "panic", v, "stack", string(debug.Stack()))
		}
		if c.Writer.Written() || v == http.ErrAbortHandler {
			panic(http.ErrAbortHandler) // cut the answer off, so that it can't be taken as whole
		}
		write(c, problem(http.StatusInternalServerError, ""))
	}()
	c.Next()
}

// ownWords gives every problem its instance, and turns huma's model of an error
// into one: no value of the request is repeated, and nothing from inside is told.
func ownWords(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*Problem)
	if m, is := v.(*huma.ErrorModel); is {
		p, ok = fromModel(m), true
	}
	if !ok {
		return v, nil
	}
	p.Instance = instance(ctx.Context())
	return p, nil
}

func fromModel(m *huma.ErrorModel) *Problem {
	if m.Status >= 500 {
		return problem(m.Status, "")
	}
	var fields []InvalidField
	for _, e := range m.Errors {
		fields = append(fields, place(e.Location, e.Message))
	}
	p := unprocessable(fields...)
	if m.Status != http.StatusUnprocessableEntity {
		p = &Problem{Status: m.Status, Title: http.StatusText(m.Status), Detail: "The request could not be read. Nothing was changed.", Errors: p.Errors}
	}
	return p
}
