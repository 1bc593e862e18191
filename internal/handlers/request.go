package handlers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

// Limits of what comes before a body, in bytes. net/http's own limit of the
// header is above them; what goes beyond that one is answered in plain text.
const (
	maxURI    = 8 << 10
	maxHeader = 14 << 10 // all names and values
)

// requestTimeout bounds the work on one request; its answer is 503 then.
const requestTimeout = 5 * time.Second

// register adds an operation on accounts: what huma lets pass is refused before
// it, its work has a deadline, and its errors go through the table of words.
func register[I, O any](a API, api huma.API, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Tags = []string{"accounts"}
	op.RejectUnknownQueryParameters = true
	op.Errors = append(op.Errors, 400, 406, 414, 417, 422, 431, 503)
	if takesBody := op.Method == http.MethodPost || op.Method == http.MethodPut || op.Method == http.MethodPatch; takesBody {
		op.Errors = append(op.Errors, 408, 411, 413, 415)
		op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // readBody has both
		op.SkipValidateBody = true                   // checkBody has it
	}
	op.Middlewares = append(huma.Middlewares{a.admitted, a.checked(api), a.onlyOnce}, op.Middlewares...)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout) // only now: a slow client is not a slow store
		defer cancel()
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.failed(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// admitted refuses a request when too many are under way, so that a burst can't
// exhaust the memory. Health is never refused.
func (a API) admitted(ctx huma.Context, next func(huma.Context)) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
		next(ctx)
	default:
		write(humagin.Unwrap(ctx), busy())
	}
}

// oneList lets few lists of accounts be in memory at once, each until its client
// has it. Some others wait, for a moment: they are admitted, and must not keep
// out what needs no list.
func (a API) oneList(ctx huma.Context, next func(huma.Context)) {
	c := humagin.Unwrap(ctx)
	select {
	case a.listing <- struct{}{}:
		defer func() { <-a.listing }()
	default:
		write(c, busy())
		return
	}
	wait, cancel := context.WithTimeout(ctx.Context(), a.listWait)
	defer cancel()
	select {
	case a.lists <- struct{}{}:
		defer func() { <-a.lists }()
		c.Writer = newPacedAnswer(c)
		next(ctx)
	case <-wait.Done():
		write(c, busy())
	}
}

// checked refuses what huma lets pass. It reads a body whole before any work
// begins, so that a client that is slow, too long or gone is told so, and never
// costs a transaction.
func (a API) checked(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		p := cmp.Or(checkHead(c.Request, "application/json"), checkTaken(c.Request, ctx.Operation()))
		if expected := ctx.Operation().RequestBody; p == nil && expected != nil {
			p = a.checkBody(c.Writer, c.Request, expected, api)
		}
		if p != nil {
			write(c, p)
			return
		}
		next(ctx)
	}
}

// checkHead returns what is wrong with the target or the header of r, which is
// answered with this media type, or nil.
func checkHead(r *http.Request, answer string) *Problem {
	if len(r.RequestURI) > maxURI {
		return problem(http.StatusRequestURITooLong, fmt.Sprintf("The target of the request is longer than %d bytes.", maxURI))
	}
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	if size > maxHeader {
		return problem(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("The header of the request is longer than %d bytes.", maxHeader))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, "The query of the URL is malformed.")
	}
	var twice []InvalidField
	for name, values := range query {
		if len(values) > 1 {
			twice = append(twice, InvalidField{Parameter: name, Detail: "stands twice"})
		}
	}
	if twice != nil {
		return unprocessable(twice...)
	}
	if kind, subtype, _ := strings.Cut(answer, "/"); !accepts(strings.Join(r.Header.Values("Accept"), ","), kind, subtype) {
		return problem(http.StatusNotAcceptable, "There is only "+answer+" here.")
	}
	return checkConditions(r.Header)
}

// checkConditions makes one line of the lists that may stand in several, which
// is what huma reads, and refuses those that would be taken for absent.
func checkConditions(header http.Header) *Problem {
	for _, name := range conditions {
		lines, there := header[name]
		if all := strings.Join(lines, ","); there {
			if strings.Trim(all, ", \t") == "" {
				return malformed(name, "is empty")
			}
			header.Set(name, all)
		}
	}
	return nil
}

// conditions are the headers that an operation must not be performed against
// (RFC 9110, 13.1), whether it knows them or not.
var conditions = []string{"If-Match", "If-None-Match"}

// checkTaken refuses a change with a condition, or of a part, that its operation
// has not.
func checkTaken(r *http.Request, op *huma.Operation) *Problem {
	for _, name := range notTaken(op) {
		if _, there := r.Header[name]; there {
			return malformed(name, "is not taken here")
		}
	}
	return nil
}

// notTaken are the headers that an operation must not be performed against: the
// conditions that it has not, and of a PUT the part to put (RFC 9110, 14.5). One
// that changes nothing takes all, if only to ignore them.
func notTaken(op *huma.Operation) (names []string) {
	if op.Method == http.MethodGet || op.Method == http.MethodHead || op.Method == http.MethodOptions {
		return nil
	}
	if op.Method == http.MethodPut {
		names = append(names, "Content-Range")
	}
	for _, name := range conditions {
		if !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// checkBody reads the body into memory and returns what is wrong with it, or nil.
func (a API) checkBody(w http.ResponseWriter, r *http.Request, expected *huma.RequestBody, api huma.API) *Problem {
	if p := checkLength(r); p != nil {
		return p
	}
	if r.ContentLength == 0 {
		return problem(http.StatusBadRequest, "A body is required.")
	}
	described, p := checkMedia(r, expected)
	if p != nil {
		return p
	}
	body, p := readBody(w, r, a.MaxBody)
	if p != nil {
		return p
	}
	r.Body = &memory{bytes.NewReader(body), body}
	if len(body) == 0 {
		return problem(http.StatusBadRequest, "A body is required.")
	}
	if a.parsers != nil { // operators have none: their orders are short
		a.parsers <- struct{}{}
		defer func() { <-a.parsers }()
	}
	return validBody(body, described.Schema, api.OpenAPI().Components.Schemas)
}

// checkLength refuses a body of no length: it would be taken for none.
func checkLength(r *http.Request) *Problem {
	if r.ContentLength == 0 && r.Header.Get("Content-Length") == "" {
		return problem(http.StatusLengthRequired, "A body is required, with Content-Length or Transfer-Encoding: chunked.")
	}
	return nil
}

// checkMedia returns what the body is described as, or what is wrong with its
// media type or coding.
func checkMedia(r *http.Request, expected *huma.RequestBody) (*huma.MediaType, *Problem) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	described := expected.Content[media]
	if charset, has := params["charset"]; err != nil || described == nil || len(r.Header.Values("Content-Type")) > 1 ||
		has && !strings.EqualFold(charset, "utf-8") {
		p := problem(http.StatusUnsupportedMediaType, "The body must be "+mediaTypes(expected)+".")
		if r.Method == http.MethodPatch {
			p.acceptPatch = acceptPatch(expected) // RFC 5789, 2.2
		}
		return nil, p
	}
	if coding := strings.Join(r.Header.Values("Content-Encoding"), ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problem(http.StatusUnsupportedMediaType, "A body must not be encoded.")
	}
	return described, nil
}

// mediaTypes are those that an operation takes, in words.
func mediaTypes(expected *huma.RequestBody) string {
	var names []string
	for name := range expected.Content {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Reverse(names) // merge-patch+json before json
	return strings.Join(names, " or ")
}

// acceptPatch is the header that tells them.
func acceptPatch(expected *huma.RequestBody) string {
	return strings.ReplaceAll(mediaTypes(expected), " or ", ", ")
}

// memory is a body that was read.
type memory struct {
	*bytes.Reader
	text []byte
}

// Close implements io.Closer.
func (*memory) Close() error { return nil }

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *Problem) {
	tooLarge := problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", limit))
	if r.ContentLength > limit { // before a Read lets a client that waits for 100 Continue send it
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLong *http.MaxBytesError
	var network net.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLong):
		return nil, tooLarge
	case errors.As(err, &network) && network.Timeout():
		return nil, problem(http.StatusRequestTimeout, "The body did not arrive in time.")
	}
	return nil, problem(http.StatusBadRequest, "The body could not be read to its end.")
}

// accepts says whether an Accept header takes the media type.
func accepts(header, kind, subtype string) bool { return quality(header, kind, subtype) > 0 }
