package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// headerDocs describes each header of an answer.
var headerDocs = map[string]string{
	"Accept-Patch":         "Media types that PATCH takes (RFC 5789)",
	"Trailer":              "Content-Digest (RFC 9530): of the whole body, absent if it was cut",
	"ETag":                 "Strong; of this state of the account and no other",
	"Idempotency-Replayed": "true when this is the answer of an earlier request with the same key",
	"Link":                 `The next page, as rel="next"; absent on the last`,
	"Location":             "Where the account is",
	"Retry-After":          "Seconds to wait before trying again",
	requestIDHeader: "The client's own if it was well formed (1 to 128 of A-Z a-z 0-9 . _ ~ -), else one that the service " +
		"made; it is in every line of the log",
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func headersOf(names ...string) map[string]*huma.Param {
	headers := make(map[string]*huma.Param)
	for _, name := range names {
		headers[name] = &huma.Param{Description: headerDocs[name], Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return headers
}

// jsonOf is the content of a response with a T.
func jsonOf[T any](api huma.API) map[string]*huma.MediaType {
	return contentOf(api.OpenAPI().Components.Schemas.Schema(typeOf[T](), true, ""), "application/json")
}

func contentOf(schema *huma.Schema, media ...string) map[string]*huma.MediaType {
	content := make(map[string]*huma.MediaType)
	for _, name := range media {
		content[name] = &huma.MediaType{Schema: schema}
	}
	return content
}

// bodyOf is a body of this shape.
func bodyOf(shape string, media ...string) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: contentOf(shapeOf(shape), media...)}
}

// answers is the one response of success with a T and these headers.
func answers[T any](api huma.API, status int, headers ...string) map[string]*huma.Response {
	return map[string]*huma.Response{fmt.Sprint(status): {
		Description: http.StatusText(status), Headers: headersOf(headers...), Content: jsonOf[T](api),
	}}
}

// finish adds to the document what huma can't tell: the body, the headers of every
// answer, and HEAD beside GET.
func (op operation) finish(doc *huma.OpenAPI, d *huma.Operation) {
	d.RequestBody = op.body // only now, or huma would read it
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
			response.Description += "; so is " + strings.Join(names, " or ") + ", which is not taken here"
		}
	}
	if op.method == http.MethodGet {
		doc.Paths[op.path].Head = headOf(d)
	}
}

// headOf is the HEAD that every GET has.
func headOf(get *huma.Operation) *huma.Operation {
	head := *get
	head.OperationID, head.Summary = "head-"+head.OperationID, head.Summary+", headers alone"
	head.Responses = make(map[string]*huma.Response, len(get.Responses))
	for status, response := range get.Responses {
		head.Responses[status] = &huma.Response{Description: response.Description, Headers: response.Headers}
	}
	return &head
}

// pathParameters describes the id in a path, which store.ParseID alone judges.
func pathParameters(path string, id *huma.Schema) []*huma.Param {
	if !strings.Contains(path, "{id}") {
		return nil
	}
	return []*huma.Param{{Name: "id", In: "path", Required: true, Description: id.Description, Schema: id}}
}
