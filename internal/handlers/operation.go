package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"accountservice/internal/auth"
)

// groups are those of the operations in the document.
var groups = map[auth.Scope]string{
	auth.Health: "health", auth.Read: "accounts", auth.Write: "accounts", auth.Admin: "maintenance",
}

// operation is one operation: what the document says of it, and its limits.
type operation struct {
	id, method, path     string
	summary, description string

	scope   auth.Scope                // who may ask, and the limits; Health is never refused and never waits
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

// quick answers a request at once and returns true, or writes nothing and returns false. It is asked before an
// operation's whole pipeline, and answers the plainest requests alone, as the pipeline would: without a query, a
// condition or a wish in Accept, with success. It waits for nothing, so it needs no place and no deadline.
type quick func(c *gin.Context) bool

// beforeKey is where the metadata of a huma operation has the quick that is asked first.
const beforeKey = "before"

func (op operation) describe(guarded bool) huma.Operation {
	d := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{groups[op.scope]},
		Summary: op.summary, Description: op.description, Responses: op.success, Errors: op.errors,
		Parameters: op.query,
	}
	if strings.Contains(op.path, "{id}") { // store.ParseID alone judges it
		id := idSchema()
		example := "10000" // Swagger UI fills it in
		if op.method == http.MethodDelete {
			example = "10099" // the others still work after it
		}
		d.Parameters = []*huma.Param{{Name: "id", In: "path", Required: true, Description: id.Description, Schema: id,
			Example: example}}
	}
	if op.success["200"] == nil && op.success["201"] != nil {
		d.DefaultStatus = http.StatusCreated
	}
	if op.scope == auth.Health {
		return d
	}
	d.RejectUnknownQueryParameters = true
	d.Errors = append(d.Errors, op.refusals(guarded)...)
	if op.key {
		d.Parameters = append(d.Parameters, idempotencyParameter())
	}
	return d
}

// refusals are the statuses that the pipeline answers with, also those of a guarded operation, which needs a token.
func (op operation) refusals(guarded bool) []int {
	all := []int{400, 406, 414, 421, 422, 431, 503}
	for status, possible := range map[int]bool{
		408: op.body != nil, 411: op.body != nil, 415: op.body != nil,
		413: op.body != nil && !op.stream,
		409: op.key,
		401: guarded,
		403: guarded || op.scope == auth.Admin, // from a web page of another site
		429: guarded || op.stream,
		507: op.scope == auth.Write,
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
		if p.In == "path" && p.Example == nil && len(p.Schema.Examples) > 0 {
			p.Example = p.Schema.Examples[0] // Swagger UI fills in that one alone
		}
		p.Schema.PatternDescription = "" // it is in the message already, and OpenAPI does not know it
	}
	for status, response := range d.Responses {
		if response.Headers == nil {
			response.Headers = make(map[string]*huma.Param)
		}
		maps.Copy(response.Headers, headersOf(op.headers(status)...))
		if names := notTaken(d); status == "400" && names != nil {
			response.Description += "; so is " + strings.Join(names, " or ") + ", which is not supported here"
		}
	}
	if op.method == http.MethodGet {
		doc.Paths[op.path].Head = headOf(d)
	}
}

// headers returns the names of the headers that an answer of this status has.
func (op operation) headers(status string) []string {
	names := []string{requestIDHeader}
	for _, row := range problems {
		if fmt.Sprint(row.problem.Status) == status {
			names = slices.AppendSeq(names, maps.Keys(row.problem.GetHeaders()))
		}
	}
	if status == "415" {
		names = append(names, "Accept-Encoding")
	}
	if status == "415" && op.method == http.MethodPatch {
		names = append(names, "Accept-Patch")
	}
	return names
}
