package handlers

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

// headerDocs describes each header of an answer.
var headerDocs = map[string]string{
	"Accept-Patch":         "Media types that PATCH takes (RFC 5789)",
	"Allow":                "Methods that this path takes",
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

// describeAll adds to the document what all operations have in common: HEAD for
// each GET, and the headers of every answer.
func describeAll(doc *huma.OpenAPI) {
	for path, item := range doc.Paths {
		for _, op := range operations(item) {
			for status, response := range op.Responses {
				describeHeaders(status, response)
				if status == "415" && op.Method == http.MethodPatch {
					response.Headers["Accept-Patch"] = headersOf("Accept-Patch")["Accept-Patch"]
				}
				if names := notTaken(op); status == "400" && names != nil {
					response.Description += "; so is " + strings.Join(names, " or ") + ", which is not taken here"
				}
			}
		}
		if item.Get != nil {
			item.Head = headOf(item.Get)
		}
		if strings.HasPrefix(path, "/accounts") {
			item.Options = optionsOf(path, item)
		}
	}
}

func describeHeaders(status string, response *huma.Response) {
	if response.Headers == nil {
		response.Headers = make(map[string]*huma.Param)
	}
	names := []string{requestIDHeader}
	for _, row := range problems {
		if row.problem.retryAfter != "" && fmt.Sprint(row.problem.Status) == status {
			names = append(names, "Retry-After")
		}
	}
	for name, header := range headersOf(names...) {
		response.Headers[name] = header
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

// optionsOf is the OPTIONS of a path of accounts.
func optionsOf(path string, item *huma.PathItem) *huma.Operation {
	names := []string{"Allow", requestIDHeader}
	if item.Patch != nil {
		names = append(names, "Accept-Patch")
	}
	id := strings.NewReplacer("/", "-", ":", "-", "{", "", "}", "").Replace(path)
	return &huma.Operation{
		OperationID: "options-of" + id, Method: http.MethodOptions, Path: path, Tags: []string{"accounts"},
		Summary:    "Which methods this path takes",
		Parameters: pathParameters(path, &huma.Schema{Type: huma.TypeString}), // it looks at none
		Responses:  map[string]*huma.Response{"204": {Description: "No Content", Headers: headersOf(names...)}},
	}
}

// pathParameters describes the id in a path, which store.ParseID alone judges.
func pathParameters(path string, id *huma.Schema) []*huma.Param {
	if !strings.Contains(path, "{id}") {
		return nil
	}
	return []*huma.Param{{Name: "id", In: "path", Required: true, Description: id.Description, Schema: id}}
}

// operations are those of a path, by method.
func operations(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodHead: item.Head, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete, http.MethodOptions: item.Options,
	}
	maps.DeleteFunc(all, func(_ string, op *huma.Operation) bool { return op == nil })
	return all
}

// serveOPTIONS answers OPTIONS as the document says.
func serveOPTIONS(engine *gin.Engine, doc *huma.OpenAPI) {
	for path, item := range doc.Paths {
		if item.Options == nil {
			continue
		}
		allow, patch := strings.Join(slices.Sorted(maps.Keys(operations(item))), ", "), ""
		if item.Patch != nil {
			patch = strings.Join(mediaTypes(item.Patch.RequestBody), ", ")
		}
		engine.OPTIONS(ginPath(path), func(c *gin.Context) {
			c.Header("Allow", allow)
			c.Header("Accept-Patch", patch)
			c.Status(http.StatusNoContent)
		})
	}
}
