package handlers

import (
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// headerDocs describes each header of an answer.
var headerDocs = map[string]string{
	"Accounts-Damaged": "How many accounts between those of the page are left out because their records are damaged, and " +
		`the ids of up to 20, as in 2; ids="10007 10042" (RFC 9651); absent if none is`,
	"Accept-Encoding":      "Codings that the body may have; only if its coding was refused (RFC 9110, 15.5.16)",
	"Accept-Patch":         "Media types that PATCH takes (RFC 5789)",
	"Trailer":              "Content-Digest (RFC 9530): of the whole body, absent if it was cut",
	"ETag":                 "Strong; of this state of the account and no other",
	"Idempotency-Replayed": "true when this is the answer of an earlier request with the same key",
	"Link":                 `The next page, as rel="next"; absent on the last`,
	"Location":             "Where the account is",
	"Retry-After":          "Seconds to wait before trying again",
	"WWW-Authenticate":     "Bearer, and what is wrong with the token (RFC 6750)",
	requestIDHeader: "The client's own if it was well formed (1 to 128 of A-Z a-z 0-9 . _ ~ -), else one that the " +
		"service made; it is in every line of the log",
}

func headersOf(names ...string) map[string]*huma.Param {
	headers := make(map[string]*huma.Param)
	for _, name := range names {
		headers[name] = &huma.Param{Description: headerDocs[name], Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return headers
}

// jsonOf is the content of a response with a T.
func jsonOf[T any](api huma.API) map[string]*huma.MediaType {
	return contentOf(api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, ""), "application/json")
}

func contentOf(schema *huma.Schema, media ...string) map[string]*huma.MediaType {
	content := make(map[string]*huma.MediaType)
	for _, name := range media {
		content[name] = &huma.MediaType{Schema: schema}
	}
	return content
}

func bodyOf(schema string, media ...string) *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: contentOf(schemaRef(schema), media...)}
}

// success is the one response of success with a T and these headers.
func success[T any](api huma.API, status int, headers ...string) map[string]*huma.Response {
	return map[string]*huma.Response{fmt.Sprint(status): {
		Description: http.StatusText(status), Headers: headersOf(headers...), Content: jsonOf[T](api),
	}}
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
