// Package handlers owns the HTTP interface: routes, operations and their
// OpenAPI document, and the words of every failure. It knows the store contract
// and published health reports, nothing of databases, probes or configuration.
package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// Health is where the published health comes from.
type Health interface {
	Snapshot() *checks.Snapshot
}

// API is what the routes need.
type API struct {
	Store   store.Store
	Health  Health
	Version string // of the service, for the OpenAPI document
	MaxBody int64  // bytes; a longer request body is 413
	Log     *slog.Logger
	Metrics *Metrics // may be nil

	// MaxConcurrent bounds the requests for accounts under way; more are 503. 0
	// is DefaultMaxConcurrent.
	MaxConcurrent int
	// RequirePreconditions refuses PUT, PATCH and DELETE without If-Match, or
	// If-None-Match: * to create.
	RequirePreconditions bool
	// Stopping, if not nil, ends when the service is told to stop: an import
	// under way ends at its next batch then.
	Stopping context.Context

	said     *repeats
	slots    chan struct{} // one for each request admitted
	lists    chan struct{} // one for each list of accounts in memory
	listing  chan struct{} // one for each of them, and for each that waits to be
	listWait time.Duration
	parsers  chan struct{} // one for each body being taken apart
	inFlight *attempts
}

// DefaultMaxConcurrent is the MaxConcurrent of an API that has none.
const DefaultMaxConcurrent = 128

// Bounds of what can be much in memory. A list is up to 8 MiB of records, and
// the same again as JSON, until the client has it; a body of 1 MiB can be 20
// MiB as values, as long as it is taken apart.
const (
	maxLists   = 8
	maxWaiting = 2 * maxLists // for a list
	maxParsers = 4
)

// listWait is how long a list may wait for others.
const listWait = time.Second

// Handler returns the routes. It only reads from a.
func (a API) Handler() http.Handler {
	a.said, a.inFlight = &repeats{}, &attempts{}
	a.slots = make(chan struct{}, cmp.Or(a.MaxConcurrent, DefaultMaxConcurrent))
	a.lists, a.parsers = make(chan struct{}, maxLists), make(chan struct{}, maxParsers)
	a.listing, a.listWait = make(chan struct{}, maxLists+maxWaiting), cmp.Or(a.listWait, listWait)
	a.Log = slog.New(identified{a.Log.Handler()})
	engine := newEngine()
	engine.Use(a.Metrics.observe, a.identify, a.recoverPanic)

	api := huma.NewAPI(humaConfig(a.Version), adapter{engine})
	a.registerAccounts(api)
	a.registerBulk(api)
	a.registerHealth(api)
	describeAll(api.OpenAPI())
	serveOPTIONS(engine, api.OpenAPI())
	document(engine, api)
	serveHEAD(engine)
	return engine
}

// newEngine is a router whose every refusal is a problem.
func newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.SetTrustedProxies(nil)
	engine.NoRoute(func(c *gin.Context) { write(c, problem(http.StatusNotFound, "There is nothing at this path.")) })
	engine.NoMethod(func(c *gin.Context) {
		write(c, problem(http.StatusMethodNotAllowed, "This path does not take this method; see the Allow header."))
	})
	return engine
}

// serveHEAD answers HEAD wherever GET is answered.
func serveHEAD(engine *gin.Engine) {
	for _, route := range engine.Routes() {
		if route.Method == http.MethodGet {
			engine.HEAD(route.Path, route.HandlerFunc)
		}
	}
}

// adapter lets huma's operations be Gin's routes.
type adapter struct{ *gin.Engine }

// Handle implements huma.Adapter.
func (a adapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	a.Engine.Handle(op.Method, ginPath(op.Path), func(c *gin.Context) { handle(humagin.NewContext(op, c)) })
}

// ginPath is /accounts/:id for /accounts/{id}, and /a\:b for /a:b.
func ginPath(path string) string {
	return strings.NewReplacer(":", `\:`, "{", ":", "}", "").Replace(path)
}

// humaConfig leaves out of huma's defaults what adds $schema to bodies, serves
// a page from a CDN, or reads JSON loosely.
func humaConfig(version string) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(typeOf[huma.ErrorModel](), typeOf[Problem]())
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshalStrict}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "accountservice",
				Description: "Keeps accounts and tells the truth about its own health.",
				Version:     version,
			},
			Components: &huma.Components{Schemas: registry},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{ownWords},
	}
}

// document serves what the operations say of themselves.
func document(engine *gin.Engine, api huma.API) {
	text, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic(err) // made of this package's own types
	}
	engine.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/openapi+json", text) })
	serveDocs(engine)
}
