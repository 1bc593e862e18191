package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
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

	retryAfter, acceptPatch, acceptEncoding, authenticate string // headers
	do                                                    string // what to do; on the page of the type
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
	Damaged   int `json:"damaged,omitzero" minimum:"0" doc:"Lines of accounts that were damaged in the export; not stored"`
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
	for name, value := range map[string]string{
		"Retry-After": p.retryAfter, "Accept-Patch": p.acceptPatch, "Accept-Encoding": p.acceptEncoding,
		"WWW-Authenticate": p.authenticate,
	} {
		if value != "" {
			header.Set(name, value)
		}
	}
	return header
}

// problem returns a Problem of this status that has no type.
func problem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// unprocessable returns the 422 of a request in which these parts can be read and are wrong.
func unprocessable(fields ...InvalidField) *Problem {
	slices.SortFunc(fields, func(a, b InvalidField) int { // some come from a map, in random order
		return cmp.Compare(a.Parameter, b.Parameter)
	})
	p := problemOf(errInvalid)
	p.Errors = fields[:min(len(fields), maxErrors)]
	return p
}

// malformed returns the 400 of a header that can't be read or is not supported.
func malformed(header, detail string) *Problem {
	p := problem(http.StatusBadRequest, "A header of the request is not supported or malformed. Nothing was changed.")
	p.Errors = []InvalidField{{Parameter: header, Detail: detail}}
	return p
}

// writeProblem answers with the problem that err is, and ends the request.
func writeProblem(c *gin.Context, err error) {
	p := problemOf(err)
	p.Instance = instance(idOf(c))
	maps.Copy(c.Writer.Header(), p.GetHeaders())
	c.Abort()
	c.Data(p.Status, problemType, append(marshal(p), '\n'))
}

// marshal is json.Marshal for a value that always encodes: of texts, numbers and times.
func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
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
	errNoToken           = errors.New("the request has no token")
	errBadToken          = errors.New("the token is unknown")
	errForbidden         = errors.New("the token lacks a scope")
	errRate              = errors.New("the rate of the token is used up")
	errCrossSite         = errors.New("a web page of another site asks")
	errHost              = errors.New("the Host is not a name of this service")
)

// ErrBackupRuns is the error of a Parts.Backup beside another one.
var ErrBackupRuns = errors.New("another backup is under way")

// problems is the table of all that has a type or says when to try again. An error
// without a row is a 500 that says nothing; the log says everything.
var problems = []struct {
	is      error
	problem Problem
}{
	{errInvalid, Problem{Status: 422, Type: "/problems/invalid", Title: "Invalid request",
		Detail: "The request was understood and refused. Nothing was changed.",
		do: "Correct the parts that errors names, each by its pointer into the body or its parameter, and " +
			"send the request again."}},
	{errInFlight, Problem{Status: 409, Type: "/problems/in-flight", Title: "Request in flight", retryAfter: "1",
		Detail: "A request with this Idempotency-Key is under way. Repeat it to get its answer.",
		do:     "Wait a second and send the same request with the same key."}},
	{errConditionRequired, Problem{Status: 428, Type: "/problems/precondition-required", Title: "Precondition required",
		Detail: "This service takes changes only with a condition: If-Match, or to create by PUT If-None-Match: *. " +
			"Nothing was changed.",
		do: "Read the account, and send its ETag as If-Match; to create by PUT, send If-None-Match: *. The " +
			"setting http.require_preconditions asks for it."}},
	{errNoToken, Problem{Status: 401, Type: "/problems/token-required", Title: "Token required", authenticate: "Bearer",
		Detail: "This needs a token: Authorization: Bearer TOKEN. Nothing was changed.",
		do:     "Send Authorization: Bearer TOKEN. An operator makes a token by accountservice token create."}},
	{errBadToken, Problem{Status: 401, Type: "/problems/token-unknown", Title: "Token unknown",
		authenticate: `Bearer error="invalid_token"`,
		Detail:       "The Authorization is not Bearer and a token that is in force here. Nothing was changed.",
		do:           "Look whether the token is whole, and whether an operator has replaced or removed it."}},
	{errForbidden, Problem{Status: 403, Type: "/problems/forbidden", Title: "Forbidden",
		Detail:       "The token lacks a scope. Nothing was changed.",
		authenticate: `Bearer error="insufficient_scope"`,
		do:           "Use a token with the scope that detail names: read to read accounts, write to change them."}},
	{errRate, Problem{Status: 429, Type: "/problems/too-many-requests", Title: "Too many requests", retryAfter: "1",
		Detail: "The token is used more often than its rate allows. Nothing was changed.",
		do:     "Wait for the seconds of Retry-After. An operator sets the rate of a token."}},
	{errCrossSite, Problem{Status: 403, Type: "/problems/cross-site", Title: "Cross-site request",
		Detail: "A web page of another site must not ask here. Nothing was changed.",
		do:     "Open the page of this service itself, or use a client that is no browser."}},
	{errHost, Problem{Status: 421, Type: "/problems/wrong-host", Title: "Wrong host",
		Detail: "The Host must be localhost, an IP address or one of http.hosts. Nothing was changed.",
		do:     "Ask by one of those names. An operator adds this one to http.hosts."}},
	{errBusy, Problem{Status: 503, Type: "/problems/busy", Title: "Busy", retryAfter: "1",
		Detail: "Too many requests are under way. Nothing was changed.",
		do: "Wait for the seconds of Retry-After and send it again. If that lasts, look at the metrics and " +
			"http.max_concurrent."}},
	{errStreams, Problem{Status: 429, Type: "/problems/too-many-streams", Title: "Too many streams", retryAfter: "1",
		Detail: "Other imports and exports are under way. Nothing was changed.",
		do:     "Wait until another import or export has ended."}},
	{errAnswers, Problem{Status: 429, Type: "/problems/too-many-answers", Title: "Too many answers", retryAfter: "3600",
		Detail: "The answers to patches with an Idempotency-Key that are kept for 24 hours take too much. " +
			"Nothing was changed. Send it without that key, and with If-Match so that it is done once.",
		do: "Send the patch without its key and with If-Match, so that it is done once."}},
	{ErrBackupRuns, Problem{Status: 409, Type: "/problems/backup-runs", Title: "Backup runs", retryAfter: "10",
		Detail: "Another backup is under way. Ask again when it is done.",
		do:     "Wait until the other backup is done; there is no need for two at once."}},
	{errStopping, Problem{Status: 503, Type: "/problems/stopping", Title: "Stopping", retryAfter: "1",
		Detail: "The service is stopping.",
		do:     "Send the request again: another instance, or this one after its restart, answers it."}},
	{errStarting, Problem{Status: 503, Type: "/problems/starting", Title: "Starting", retryAfter: "1",
		Detail: "The service is starting.",
		do:     "Wait for the seconds of Retry-After and send it again. /health says what it waits for."}},
	{store.ErrNotFound, Problem{Status: 404, Type: "/problems/account-not-found", Title: "Account not found",
		Detail: "There is no account with this id.",
		do:     "Check the id. GET /accounts lists the accounts; a deleted one does not come back."}},
	{store.ErrDamaged, Problem{Status: 503, Type: "/problems/account-damaged", Title: "Account damaged",
		retryAfter: "3600",
		Detail: "The record of this account is damaged, and no other account is concerned. Nothing was changed. " +
			"PUT replaces it, without version, times, and ETag in If-Match, which are not known; DELETE removes it.",
		do: "PUT the account again if its content is known, or restore it from a backup by import. An export names " +
			"all damaged accounts."}},
	{store.ErrExists, Problem{Status: 412, Type: "/problems/account-exists", Title: "Account exists",
		Detail: "There is an account with this id, and the request was to create it. Nothing was changed.",
		do:     "Read the account. Leave If-None-Match out to replace it, or choose another id."}},
	{store.ErrVersion, Problem{Status: 412, Type: "/problems/precondition-failed", Title: "Precondition failed",
		Detail: "The account is not in a state that If-Match allows. Nothing was changed. Read it, and decide again.",
		do:     "Somebody else changed the account: read it, decide again, and send the new ETag as If-Match."}},
	{store.ErrKeyReused, Problem{Status: 422, Type: "/problems/idempotency-key-reused", Title: "Idempotency key reused",
		Detail: "Another request was made with this Idempotency-Key. Nothing was changed. Use a new key.",
		do:     "Choose a new key for each request, and repeat a key only with the same request."}},
	{store.ErrTooMuch, Problem{Status: 422, Type: "/problems/too-much", Title: "Too much at once",
		Detail: "The accounts are too large for one answer. Ask for fewer ids at a time.",
		do:     "Ask for half of the ids, and so on."}},
	{store.ErrOutcomeUnknown, Problem{Status: 503, Type: "/problems/outcome-unknown", Title: "Outcome unknown",
		retryAfter: "5", Detail: "The change may or may not have been made. " +
			"Repeat the request with the same Idempotency-Key, or read the account first.",
		do: "With an Idempotency-Key, repeat the request. Without one, read the account and look whether the " +
			"change is there."}},
	{store.ErrNoSpace, Problem{Status: 507, Type: "/problems/no-space", Title: "No space left", retryAfter: "60",
		Detail: "The disk is full. Nothing was changed; reading goes on.",
		do:     "Tell the operator to make room on the disk; nothing else is wrong."}},
	{store.ErrUnavailable, Problem{Status: 503, Type: "/problems/unavailable", Title: "Store unavailable", retryAfter: "5",
		Detail: "The accounts cannot be reached now. Nothing was changed.",
		do: "Wait for the seconds of Retry-After and send it again. The operator sees the reason in the log " +
			"and at /health."}},
	{context.DeadlineExceeded, Problem{Status: 503, Type: "/problems/timeout", Title: "Timed out", retryAfter: "5",
		Detail: "The accounts could not be reached in time. Nothing was changed.",
		do: "Wait for the seconds of Retry-After and send it again. The operator sees at /health whether the " +
			"disk is slow."}},
	{context.Canceled, Problem{Status: 503, Type: "/problems/cancelled", Title: "Cancelled", retryAfter: "1",
		Detail: "The request was given up. Nothing was changed.",
		do:     "Send it again."}},
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
			return new(row.problem)
		}
	}
	return problem(http.StatusInternalServerError, "")
}
