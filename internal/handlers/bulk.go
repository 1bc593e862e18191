package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
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
	// importBatch is how many accounts one transaction of an import has: the
	// writes of others wait for it.
	importBatch = 1000
)

// bulk answers imports and exports.
type bulk struct {
	live     *Live
	log      *failureLog
	stopping context.Context // ends when the service is told to stop
}

func countOf(p transfer.Progress) *ImportCount {
	return &ImportCount{p.Created, p.Replaced, p.Unchanged, p.Lines}
}

type importInput struct {
	DryRun bool `query:"dry_run" doc:"Check every line and count what would be done, without doing it; present is enough"`
}

// Resolve implements huma.Resolver: huma takes a parameter without a value for absent.
func (in *importInput) Resolve(ctx huma.Context) []error {
	target := ctx.URL()
	in.DryRun = isSet(target.Query(), "dry_run")
	return nil
}

// registerBulk describes the operations that are streams. They have no limit of
// their length; instead they are few, and each must keep moving.
func registerBulk(e *edge, b bulk) {
	lines := map[string]*huma.MediaType{ndjson: {
		Schema:  &huma.Schema{Type: huma.TypeString, Description: "One AccountLine, in JSON, a line (NDJSON)"},
		Example: `{"id":"10000","name":"Person_0"}` + "\n",
	}}
	register(e, operation{
		id: "import-accounts", method: http.MethodPost, path: "/accounts:import", scope: scopeWrite, stream: true,
		summary: "Store many accounts, a line each",
		description: "A line's account is created, or replaces the one of its id if its content differs. Lines are stored " +
			"in batches of up to 1000, each whole or not at all, in their order; where an id stands twice the later line " +
			"wins. After a failure `imported` says how far it went. Repeating the whole import is safe: what is there already is " +
			"left alone.",
		body: &huma.RequestBody{Content: lines}, answers: answers[ImportCount](e.api, 200),
	}, func(_ context.Context, in *importInput) (*huma.StreamResponse, error) {
		return streamed(func(c *gin.Context) { b.importAccounts(c, in.DryRun) }), nil
	})
	register(e, operation{
		id: "export-accounts", method: http.MethodGet, path: "/accounts:export", scope: scopeRead, stream: true,
		media: ndjson, summary: "All accounts, a line each, in order of their ids",
		description: "Accounts that change while it runs are in it or not. An export that fails after it began is cut: " +
			"it has no end as HTTP/1.1 marks it, and no `Content-Digest` (RFC 9530), which a whole one has in its trailer.",
		errors: []int{505},
		answers: map[string]*huma.Response{
			"200": {Description: "All accounts", Content: lines, Headers: headersOf("Trailer")}},
	}, func(context.Context, *struct{}) (*huma.StreamResponse, error) { return streamed(b.exportAccounts), nil })
}

// streamed lets run answer by itself, without the deadline of other requests.
func streamed(run func(*gin.Context)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) { run(humagin.Unwrap(ctx)) }}
}

// importAccounts stores the lines of the body. A batch has the deadline of one
// request, the body as a whole has none: see pace.
func (b bulk) importAccounts(c *gin.Context, dryRun bool) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	body := &pacedBody{ctx: ctx, conn: http.NewResponseController(c.Writer), body: c.Request.Body}
	defer context.AfterFunc(b.stopping, func() {
		cancel()
		body.conn.SetReadDeadline(time.Unix(1, 0)) // ends a Read under way
	})()
	accounts := b.live.accounts()
	var to transfer.Target = accounts
	if dryRun {
		to = transfer.DryRun{Store: accounts}
	}
	options := transfer.Options{Timeout: requestTimeout, ReadOn: dryRun}
	done, err := transfer.Import(ctx, transfer.NewReader(body, importBatch), to, options)
	if err != nil {
		writeProblem(c, b.importProblem(c.Request.Context(), err, countOf(done), dryRun))
		return
	}
	writeJSON(c, http.StatusOK, "application/json", countOf(done))
}

// importProblem puts the end of an import into words: why, what is stored, and
// where the faults are.
func (b bulk) importProblem(ctx context.Context, err error, done *ImportCount, dryRun bool) *Problem {
	var ended *transfer.Error
	errors.As(err, &ended) // transfer.Import returns no other
	var body *bodyError
	var p *Problem
	cause := ""
	switch isBody := errors.As(err, &body); {
	case len(ended.Faults) > 0:
		p = problemOf(errInvalid)
		for _, f := range ended.Faults {
			p.Errors = append(p.Errors, InvalidField{Line: f.Line, Pointer: f.Pointer, Detail: f.Detail})
		}
	case b.stopping.Err() != nil && (isBody || errors.Is(err, context.Canceled)):
		p = problemOf(errStopping)
	case isBody:
		p = body.problem()
		cause = p.Detail + " "
	default:
		p = b.log.failed(ctx, "import-accounts", ended.Err)
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
func (b bulk) exportAccounts(c *gin.Context) {
	if !c.Request.ProtoAtLeast(1, 1) {
		writeProblem(c, problem(http.StatusHTTPVersionNotSupported,
			"An export needs HTTP/1.1 or newer: before it, a cut answer looked like a whole one."))
		return
	}
	out := &exportStream{c: c, digest: sha256.New()}
	err := transfer.Export(c.Request.Context(), b.live.accounts(), out, requestTimeout)
	switch {
	case err == nil || errors.Is(err, errHeaderOnly):
		out.end()
	case !out.begun:
		writeProblem(c, b.log.failed(c.Request.Context(), "export-accounts", err))
	default:
		b.log.failed(c.Request.Context(), "export-accounts", err)
		panic(http.ErrAbortHandler)
	}
}

// exportStream is an answer that begins with its first line.
type exportStream struct {
	c      *gin.Context
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
	return s.c.Writer.Write(lines)
}

func (s *exportStream) end() {
	s.begin()
	if s.c.Request.Method != http.MethodHead {
		s.c.Writer.Header().Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(s.digest.Sum(nil))+":")
		http.NewResponseController(s.c.Writer).SetWriteDeadline(time.Now().Add(chunkTimeout)) // of the trailer
	}
}
