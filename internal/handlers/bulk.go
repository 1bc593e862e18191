package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/auth"
	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

const (
	ndjson = "application/x-ndjson"
	// importBatch is how many accounts one transaction of an import has: the writes of others wait for it.
	importBatch = 1000
	// restTimeout is how long the rest of a body is waited for when the import has ended before it.
	restTimeout = 5 * time.Second
)

// bulk answers imports and exports.
type bulk struct {
	live     *Live
	log      *failureLog
	stopping context.Context // ends when the service is told to stop
}

type importInput struct {
	DryRun bool `query:"dry_run" doc:"Check every line, count what would be done, and do nothing; present is enough"`
}

// Resolve implements huma.Resolver: huma takes a parameter without a value for absent.
func (in *importInput) Resolve(ctx huma.Context) []error {
	target := ctx.URL()
	in.DryRun = isSet(target.Query(), "dry_run")
	return nil
}

type importOutput struct{ Body *ImportCount }

// registerBulk describes the operations that are streams. They have no limit of their length; instead they are few.
func registerBulk(e *edge, b bulk) {
	lines := map[string]*huma.MediaType{ndjson: {
		Schema:  &huma.Schema{Type: huma.TypeString, Description: "One AccountLine, in JSON, a line (NDJSON)"},
		Example: `{"id":"10000","name":"Person_0"}` + "\n",
	}}
	register(e, operation{
		id: "import-accounts", method: http.MethodPost, path: "/accounts:import", scope: auth.Write, stream: true,
		summary: "Store many accounts, a line each",
		description: "A line's account is created, or replaces the one of its id if its content differs. Lines are stored " +
			"in batches of up to 1000, each whole or not at all, in their order. Lines of the same id are stored one after the " +
			"other, and each counts. After a failure `imported` says how far it went. Repeating the whole import is safe: what " +
			"is stored already is left alone. A line with `damaged` from an export is counted and stores nothing. The body may " +
			"be gzip.",
		body: &huma.RequestBody{Content: lines},
	}, b.importAccounts)
	register(e, operation{
		id: "export-accounts", method: http.MethodGet, path: "/accounts:export", scope: auth.Read, stream: true,
		media: ndjson, summary: "All accounts, a line each, in order of their ids",
		description: "Accounts that change while it runs are in it or not. An account whose record is damaged is the line " +
			"`{\"damaged\":\"ID\"}`. An export that fails after it began is cut: " +
			"it has no end as HTTP/1.1 marks it, and no `Content-Digest` (RFC 9530), which a whole one has in its trailer.",
		errors: []int{505},
		success: map[string]*huma.Response{
			"200": {Description: "All accounts", Content: lines, Headers: headersOf("Trailer")}},
	}, b.exportAccounts)
}

// importAccounts stores the lines of the body. A batch has the deadline of one
// request, the body as a whole has none: the server cuts a client that is too slow.
func (b bulk) importAccounts(ctx context.Context, in *importInput) (*importOutput, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := receivedOf(ctx)
	c, conn := request.gin, http.NewResponseController(request.gin.Writer)
	defer b.dropRest(c.Request, conn)
	defer request.leave() // the next import need not wait for the rest
	defer b.endReads(conn, cancel)()
	accounts := b.live.accounts()
	var to transfer.Target = accounts
	if in.DryRun {
		to = transfer.DryRun{Store: accounts}
	}
	options := transfer.Options{Timeout: requestTimeout, ReadOn: in.DryRun}
	lines := transfer.NewReader(lineBody{c.Request.Body}, importBatch)
	done, err := transfer.Import(ctx, lines, whilePermitted{to, request.still}, options)
	count := &ImportCount{done.Created, done.Replaced, done.Unchanged, done.Lines, done.Damaged}
	if err != nil {
		return nil, b.importError(err, count, in.DryRun)
	}
	return &importOutput{count}, nil
}

// whilePermitted is a Target while its caller may go on.
type whilePermitted struct {
	transfer.Target
	still func() error
}

func (p whilePermitted) Import(ctx context.Context, accounts []store.Account) (store.Imported, error) {
	if err := p.still(); err != nil {
		return store.Imported{}, err
	}
	return p.Target.Import(ctx, accounts)
}

// endReads ends reads of conn and calls cancel when the service is told to stop. release ends that watch.
func (b bulk) endReads(conn *http.ResponseController, cancel func()) (release func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(b.stopping, func() {
		defer close(ended)
		cancel()
		conn.SetReadDeadline(time.Unix(1, 0)) // ends a Read under way
	})
	return func() {
		if !stop() {
			<-ended // after this request conn is nothing, or another request
		}
	}
}

// dropRest drops what an import that has ended did not read, for restTimeout, unless the service is told to stop.
func (b bulk) dropRest(r *http.Request, conn *http.ResponseController) {
	if b.stopping.Err() == nil {
		conn.SetReadDeadline(time.Now().Add(restTimeout))
		defer b.endReads(conn, func() {})()
		dropBody(r)
	}
}

// lineBody is the body of an import: its failures are not the store's.
type lineBody struct{ io.Reader }

func (b lineBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &bodyError{err}
	}
	return n, err
}

// importError adds to the error of an import its problem: why it ended, what is stored, and where the faults are.
func (b bulk) importError(err error, done *ImportCount, dryRun bool) error {
	var ended *transfer.Error
	errors.As(err, &ended) // transfer.Import returns no other
	var body *bodyError
	p, cause := problemOf(ended.Err), ""
	switch isBody := errors.As(err, &body); {
	case len(ended.Faults) > 0:
		p = problemOf(errInvalid)
		for _, f := range ended.Faults {
			p.Errors = append(p.Errors, InvalidField{Line: f.Line, Pointer: f.Pointer, Detail: f.Detail})
		}
	case b.stopping.Err() != nil && (isBody || errors.Is(err, context.Canceled)):
		p, err = problemOf(errStopping), context.Canceled // no failure of the service
	case isBody:
		p = body.problem()
		cause = p.Detail + " "
	}
	p.Imported = done
	p.Detail = cause + "Nothing was changed."
	if !dryRun {
		p.Detail = cause + ended.Stored() + " Repeating the whole import is safe."
	}
	return fmt.Errorf("%w: %w", p, err)
}

// exportAccounts writes all accounts. What fails before the first of them is a
// problem; what fails later cuts the answer off, so that it can't be taken as whole.
func (b bulk) exportAccounts(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	c := receivedOf(ctx).gin
	if !c.Request.ProtoAtLeast(1, 1) {
		return nil, problem(http.StatusHTTPVersionNotSupported,
			"An export needs HTTP/1.1 or newer: before it, a cut answer looked like a whole one.")
	}
	pages := transfer.NewPages(b.live.accounts(), requestTimeout)
	lines, err := pages.Next(ctx)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(huma.Context) {
		header := c.Writer.Header()
		header.Set("Content-Type", ndjson)
		header.Set("Trailer", "Content-Digest")
		c.Status(http.StatusOK)
		if c.Request.Method == http.MethodHead {
			return
		}
		digest := sha256.New()
		for ; err == nil; lines, err = pages.Next(ctx) {
			digest.Write(lines)
			c.Writer.Write(lines) // aborts by itself: see placedWriter
		}
		if err != io.EOF { // itself: a store may have met the end of its file
			b.log.failed(ctx, "export-accounts", err)
			panic(http.ErrAbortHandler)
		}
		header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest.Sum(nil))+":")
	}}, nil
}
