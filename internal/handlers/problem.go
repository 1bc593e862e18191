package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// Problem is the body of every 4xx and 5xx (RFC 9457).
type Problem struct {
	Type     string         `json:"type,omitempty" format:"uri-reference" doc:"Kind; absent where the status says all"`
	Title    string         `json:"title" doc:"Short name of the kind"`
	Status   int            `json:"status" doc:"HTTP status code"`
	Detail   string         `json:"detail,omitempty" doc:"What went wrong this time, and what to do"`
	Instance string         `json:"instance,omitempty" format:"uri-reference" doc:"/requests/ and the X-Request-Id"`
	Errors   []InvalidField `json:"errors,omitempty" maxItems:"50" doc:"Refused parts of the request, at most 50"`
	Imported *ImportCount   `json:"imported,omitempty" doc:"How far an import went"`

	retryAfter, acceptPatch string // headers
}

// InvalidField is one part of a request that was refused. Its value is never repeated.
type InvalidField struct {
	Line      int    `json:"line,omitzero" doc:"Which line of an import, from 1"`
	Pointer   string `json:"pointer,omitempty" doc:"Where in the body, as a JSON Pointer (RFC 6901) in a fragment"`
	Parameter string `json:"parameter,omitempty" doc:"Which parameter of path, query or header"`
	Detail    string `json:"detail" doc:"What is wrong with it"`
}

// ImportCount is how far an import went.
type ImportCount struct {
	Created   int `json:"created" minimum:"0"`
	Replaced  int `json:"replaced" minimum:"0"`
	Unchanged int `json:"unchanged" minimum:"0" doc:"Accounts that had this content already"`
	Lines     int `json:"lines" minimum:"0" doc:"Lines done with, empty ones included"`
}

const (
	problemType = "application/problem+json"
	// maxErrors bounds what a problem lists: an answer is not to be longer than what it refuses.
	maxErrors = 50
)

// Error, GetStatus, ContentType and GetHeaders are what huma asks an error for.
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

// problem returns one that is no more than its status.
func problem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// unprocessable is of parts that can be read and are wrong.
func unprocessable(fields ...InvalidField) *Problem {
	slices.SortFunc(fields, func(a, b InvalidField) int { // some come from a map, in random order
		return cmp.Compare(a.Parameter, b.Parameter)
	})
	p := problemOf(errInvalid)
	p.Errors = fields[:min(len(fields), maxErrors)]
	return p
}

// malformed is of a header that can't be read.
func malformed(header, detail string) *Problem {
	p := problem(http.StatusBadRequest, "A header of the request is not supported or malformed. Nothing was changed.")
	p.Errors = []InvalidField{{Parameter: header, Detail: detail}}
	return p
}

// writeProblem answers with the problem that err is, and ends the request.
func writeProblem(c *gin.Context, err error) {
	p := problemOf(err)
	p.Instance = instance(idOf(c))
	for name, values := range p.GetHeaders() {
		c.Writer.Header()[name] = values
	}
	c.Abort()
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	c.Data(p.Status, problemType, append(text, '\n'))
}

// Errors that no store returns.
var (
	errInvalid           = errors.New("the request is invalid")
	errInFlight          = errors.New("the idempotency key is in use")
	errConditionRequired = errors.New("the request has no condition")
	errBusy              = errors.New("too many requests are under way")
	errStreams           = errors.New("too many streams are under way")
	errStopping          = errors.New("the service is stopping")
	errStarting          = errors.New("the service is starting")
)

// problems is the table of all that has a type or says when to try again. An error
// without a row is a 500 that says nothing; the log says everything.
var problems = []struct {
	is      error
	problem Problem
}{
	{errInvalid, Problem{Status: 422, Type: "/problems/invalid", Title: "Invalid request",
		Detail: "The request was understood and refused. Nothing was changed."}},
	{errInFlight, Problem{Status: 409, Type: "/problems/in-flight", Title: "Request in flight", retryAfter: "1",
		Detail: "A request with this Idempotency-Key is under way. Repeat it to get its answer."}},
	{errConditionRequired, Problem{Status: 428, Type: "/problems/precondition-required", Title: "Precondition required",
		Detail: "This service takes changes only with a condition: If-Match, or to create by PUT If-None-Match: *. " +
			"Nothing was changed."}},
	{errBusy, Problem{Status: 503, Type: "/problems/busy", Title: "Busy", retryAfter: "1",
		Detail: "Too many requests are under way. Nothing was changed."}},
	{errStreams, Problem{Status: 429, Type: "/problems/too-many-streams", Title: "Too many streams", retryAfter: "1",
		Detail: "Other imports and exports are under way. Nothing was changed."}},
	{errStopping, Problem{Status: 503, Type: "/problems/stopping", Title: "Stopping", retryAfter: "1",
		Detail: "The service is stopping."}},
	{errStarting, Problem{Status: 503, Title: "Service Unavailable", retryAfter: "1",
		Detail: "The service is starting."}},
	{store.ErrNotFound, Problem{Status: 404, Type: "/problems/account-not-found", Title: "Account not found",
		Detail: "There is no account with this id."}},
	{store.ErrExists, Problem{Status: 412, Type: "/problems/account-exists", Title: "Account exists",
		Detail: "There is an account with this id, and the request was to create it. Nothing was changed."}},
	{store.ErrVersion, Problem{Status: 412, Type: "/problems/precondition-failed", Title: "Precondition failed",
		Detail: "The account is not in a state that If-Match allows. Nothing was changed. Read it, and decide again."}},
	{store.ErrKeyReused, Problem{Status: 422, Type: "/problems/idempotency-key-reused", Title: "Idempotency key reused",
		Detail: "Another request was made with this Idempotency-Key. Nothing was changed. Use a new key."}},
	{store.ErrTooMuch, Problem{Status: 422, Type: "/problems/too-much", Title: "Too much at once",
		Detail: "The accounts are too large for one answer. Ask for fewer ids at a time."}},
	{store.ErrOutcomeUnknown, Problem{Status: 503, Type: "/problems/outcome-unknown", Title: "Outcome unknown",
		retryAfter: "5", Detail: "The change may or may not have been made. " +
			"Repeat the request with the same Idempotency-Key, or read the account first."}},
	{store.ErrNoSpace, Problem{Status: 507, Type: "/problems/no-space", Title: "No space left", retryAfter: "60",
		Detail: "The disk is full. Nothing was changed; reading goes on."}},
	{store.ErrUnavailable, Problem{Status: 503, Type: "/problems/unavailable", Title: "Store unavailable", retryAfter: "5",
		Detail: "The accounts cannot be reached now. Nothing was changed."}},
	{context.DeadlineExceeded, Problem{Status: 503, Type: "/problems/timeout", Title: "Timed out", retryAfter: "5",
		Detail: "The accounts could not be reached in time. Nothing was changed."}},
	{context.Canceled, Problem{Status: 503, Type: "/problems/cancelled", Title: "Cancelled", retryAfter: "1",
		Detail: "The request was given up. Nothing was changed."}},
}

// problemOf returns what callers are told of an error.
func problemOf(err error) *Problem {
	var ready *Problem
	var invalid *store.Invalid
	var fault *transfer.Fault
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &fault) && fault.Malformed:
		p := problem(http.StatusBadRequest, "The body is not valid JSON of the expected form. Nothing was changed.")
		p.Errors = []InvalidField{{Pointer: fault.Pointer, Detail: fault.Detail}}
		return p
	case errors.As(err, &fault):
		return unprocessable(InvalidField{Pointer: fault.Pointer, Detail: fault.Detail})
	case errors.As(err, &invalid) && invalid.Field == "id":
		return unprocessable(InvalidField{Parameter: "id", Detail: invalid.Reason})
	case errors.As(err, &invalid):
		return unprocessable(InvalidField{Pointer: "#/" + invalid.Field, Detail: invalid.Reason})
	}
	for _, row := range problems {
		if errors.Is(err, row.is) {
			p := row.problem
			return &p
		}
	}
	return problem(http.StatusInternalServerError, "")
}
