package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"accountservice/internal/store/transfer"
)

const (
	ndjson = "application/x-ndjson"
	// maxStreams bounds imports and exports under way: each holds a batch in memory.
	maxStreams = 4
	// importBatch is how many accounts one transaction of an import has: the
	// writes of others wait for it.
	importBatch = 1000
)

// accountLine is a line of an import or export, for the OpenAPI document:
// transfer reads and writes the bytes.
type accountLine struct {
	_         struct{}    `additionalProperties:"false"`
	ID        string      `json:"id" minLength:"1" maxLength:"64" pattern:"^(\\.{0,2}[A-Za-z0-9_~-]|\\.{3})[A-Za-z0-9._~-]*$"`
	Name      string      `json:"name" minLength:"1" maxLength:"256" doc:"1 to 256 characters, no control characters"`
	Email     *string     `json:"email,omitempty" nullable:"true" maxLength:"254" format:"email"`
	Labels    draftLabels `json:"labels,omitempty"`
	Version   *int64      `json:"version,omitempty" nullable:"true" minimum:"1" maximum:"9007199254740991" doc:"Kept if the account is new, above the old one if it is replaced"`
	CreatedAt *time.Time  `json:"created_at,omitempty" nullable:"true" doc:"Kept if the account is new; to the microsecond"`
	UpdatedAt *time.Time  `json:"updated_at,omitempty" nullable:"true" doc:"Kept if not before created_at, and that of the old one if it is replaced"`
}

// ImportCount is how far an import went.
type ImportCount struct {
	Created   int `json:"created" minimum:"0"`
	Replaced  int `json:"replaced" minimum:"0"`
	Unchanged int `json:"unchanged" minimum:"0" doc:"Accounts that had this content already"`
	Lines     int `json:"lines" minimum:"0" doc:"Lines done with, empty ones included"`
}

func countOf(p transfer.Progress) *ImportCount {
	return &ImportCount{p.Created, p.Replaced, p.Unchanged, p.Lines}
}

type importInput struct {
	DryRun bool `query:"dry_run" doc:"Check every line and count what would be done, without doing it"`
}

// registerBulk describes the operations that are streams. They have no limit of
// their length; instead they are few, and each must keep moving.
func (a API) registerBulk(api huma.API) {
	streams := make(chan struct{}, maxStreams)
	lines := map[string]*huma.MediaType{ndjson: {
		Schema:  &huma.Schema{Type: huma.TypeString, Description: "One AccountLine, in JSON, a line (NDJSON)"},
		Example: `{"id":"10000","name":"Person_0"}` + "\n",
	}}
	api.OpenAPI().Components.Schemas.Schema(typeOf[accountLine](), true, "")
	huma.Register(api, huma.Operation{
		OperationID: "import-accounts", Method: http.MethodPost, Path: "/accounts:import", Tags: []string{"accounts"},
		Summary: "Store many accounts, a line each",
		Description: "A line's account is created, or replaces the one of its id if name, email or labels differ. Lines are stored in " +
			"batches of up to 1000, each whole or not at all, in their order; where an id stands twice the later line wins. After a failure " +
			"`imported` says how far it went. Repeating the whole import is safe: what is there already is left alone.",
		RequestBody:                  &huma.RequestBody{Content: lines},
		Responses:                    answers[ImportCount](api, http.StatusOK),
		Errors:                       []int{400, 406, 408, 411, 414, 415, 417, 422, 429, 431, 503, 507},
		RejectUnknownQueryParameters: true,
		Middlewares:                  huma.Middlewares{streamed("application/json", streams)},
	}, func(_ context.Context, in *importInput) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) { a.importAccounts(humagin.Unwrap(ctx), in.DryRun) }}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "export-accounts", Method: http.MethodGet, Path: "/accounts:export", Tags: []string{"accounts"},
		Summary: "All accounts, a line each, in order of their ids",
		Description: "Accounts that change while it runs are in it or not. An export that fails after it began is cut: " +
			"it has no end as HTTP/1.1 marks it, and no `Content-Digest` (RFC 9530), which a whole one has in its trailer.",
		Responses:                    map[string]*huma.Response{"200": {Description: "All accounts", Content: lines, Headers: headersOf("Trailer")}},
		Errors:                       []int{400, 406, 414, 417, 422, 429, 431, 503, 505},
		RejectUnknownQueryParameters: true,
		Middlewares:                  huma.Middlewares{streamed(ndjson, streams)},
	}, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) { a.exportAccounts(humagin.Unwrap(ctx)) }}, nil
	})
}

// importAccounts stores the lines of the body. A batch has the deadline of one
// request, the body as a whole has none: see pace.
func (a API) importAccounts(c *gin.Context, dryRun bool) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	body := newPacedBody(ctx, c)
	stopped := context.AfterFunc(a.stopping(), func() {
		cancel()
		body.interrupt()
	})
	defer stopped()
	var to transfer.Target = a.Store
	if dryRun {
		to = transfer.DryRun{Store: a.Store}
	}
	done, err := transfer.Import(ctx, transfer.NewReader(body, importBatch), to, transfer.Options{Timeout: requestTimeout, Check: dryRun})
	http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(chunkTimeout)) // the server's own is over by now
	if err != nil {
		write(c, a.importProblem(c.Request.Context(), err, countOf(done), dryRun))
		return
	}
	answer, err := json.Marshal(countOf(done))
	if err != nil {
		panic(err) // numbers always encode
	}
	c.Data(http.StatusOK, "application/json", append(answer, '\n'))
}

// importProblem puts the end of an import into words: why, what is stored, and
// where the faults are.
func (a API) importProblem(ctx context.Context, err error, done *ImportCount, dryRun bool) *Problem {
	ended := &transfer.Error{First: done.Lines + 1, Last: done.Lines + 1, Err: err}
	errors.As(err, &ended)
	var body *bodyError
	var p *Problem
	cause := ""
	switch {
	case len(ended.Faults) > 0:
		p = unprocessable()
		for _, f := range ended.Faults {
			p.Errors = append(p.Errors, InvalidField{Line: f.Line, Pointer: f.Pointer, Detail: f.Detail})
		}
	case a.stopping().Err() != nil && (errors.As(err, &body) || errors.Is(err, context.Canceled)):
		p = &Problem{Status: http.StatusServiceUnavailable, Type: "/problems/stopping", Title: "Stopping", retryAfter: "1"}
	case errors.As(err, &body):
		p, cause = body.problem(), "The body could not be read to its end. "
	default:
		p = toProblem(a.failed(ctx, "import-accounts", ended.Err))
	}
	p.Imported = done
	p.Detail = cause + "Nothing was changed."
	if !dryRun {
		p.Detail = cause + ended.Stored() + " Repeating the whole import is safe."
	}
	return p
}

// exportAccounts writes all accounts. What fails before the first of them is a
// problem; what fails later cuts the answer off, so that it can't be taken as whole.
func (a API) exportAccounts(c *gin.Context) {
	if !c.Request.ProtoAtLeast(1, 1) {
		write(c, problem(http.StatusHTTPVersionNotSupported, "An export needs HTTP/1.1 or newer: before it, a cut answer looked like a whole one."))
		return
	}
	out := &exportStream{c: c, body: newPacedWriter(c), digest: sha256.New()}
	err := transfer.Export(c.Request.Context(), a.Store, out, requestTimeout)
	var client *answerError
	switch {
	case err == nil || errors.Is(err, errHeaderOnly):
		out.end()
	case !out.begun:
		write(c, toProblem(a.failed(c.Request.Context(), "export-accounts", err)))
	case errors.As(err, &client):
		a.Log.DebugContext(c.Request.Context(), "export cut by its client", "err", err)
		panic(http.ErrAbortHandler)
	default:
		a.failed(c.Request.Context(), "export-accounts", err)
		panic(http.ErrAbortHandler)
	}
}

// exportStream is an answer that begins with its first line.
type exportStream struct {
	c      *gin.Context
	body   *pacedWriter
	digest hash.Hash
	begun  bool
}

var errHeaderOnly = errors.New("a HEAD wants no body")

func (s *exportStream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	header := s.c.Writer.Header()
	header.Set("Content-Type", ndjson)
	header.Set("Cache-Control", "no-store")
	header.Set("Trailer", "Content-Digest")
	s.c.Status(http.StatusOK)
}

func (s *exportStream) Write(lines []byte) (int, error) {
	s.begin()
	if s.c.Request.Method == http.MethodHead {
		return 0, errHeaderOnly
	}
	s.digest.Write(lines)
	n, err := s.body.Write(lines)
	if err != nil {
		err = &answerError{err}
	}
	return n, err
}

func (s *exportStream) end() {
	s.begin()
	if s.c.Request.Method != http.MethodHead {
		s.c.Writer.Header().Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(s.digest.Sum(nil))+":")
		s.body.last()
	}
}

// stopping is a context that ends when the service is told to stop.
func (a API) stopping() context.Context {
	if a.Stopping == nil {
		return context.Background()
	}
	return a.Stopping
}
