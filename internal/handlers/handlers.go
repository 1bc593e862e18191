// Package handlers owns the HTTP interface: routes, operations and their
// OpenAPI document, and the words of every failure. It knows the store contract
// and published health reports, nothing of databases, probes or configuration.
package handlers

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// requestTimeout bounds the work on one request; its answer is 503 then.
const requestTimeout = 5 * time.Second

// Health is where the published report comes from.
type Health interface {
	Report() *checks.Report
}

// API is what the routes need.
type API struct {
	Store   store.Store
	Health  Health
	Version string // of the service, for the OpenAPI document
	MaxBody int64  // bytes; a longer request body is 413
	Log     *slog.Logger
	// Stopping, if not nil, ends when the service is told to stop: an import
	// under way ends at its next batch then.
	Stopping context.Context

	said *repeats
}

// Handler returns the routes. It only reads from a.
func (a API) Handler() http.Handler {
	a.said = &repeats{}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.SetTrustedProxies(nil)
	engine.Use(a.recoverPanic, a.readBody, withDeadline)
	engine.NoRoute(func(c *gin.Context) { write(c, problem(http.StatusNotFound, "There is nothing at this path.")) })
	engine.NoMethod(func(c *gin.Context) {
		write(c, problem(http.StatusMethodNotAllowed, "This path does not take this method; see the Allow header."))
	})

	api := newAPI(engine, humaConfig(a.Version))
	a.registerAccounts(api)
	a.registerBulk(api)
	a.registerHealth(api)
	document(engine, api)
	for _, route := range engine.Routes() {
		if route.Method == http.MethodGet {
			engine.HEAD(route.Path, route.HandlerFunc)
		}
	}
	return engine
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
	describeHEAD(api.OpenAPI())
	text, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic(err) // made of this package's own types
	}
	engine.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/openapi+json", text) })
	serveDocs(engine)
}

// describeHEAD adds to each GET of the document its HEAD, which every route has.
func describeHEAD(doc *huma.OpenAPI) {
	for _, path := range doc.Paths {
		if path.Get == nil {
			continue
		}
		head := *path.Get
		head.OperationID, head.Summary = "head-"+head.OperationID, head.Summary+", headers alone"
		head.Responses = make(map[string]*huma.Response, len(path.Get.Responses))
		for status, response := range path.Get.Responses {
			head.Responses[status] = &huma.Response{Description: response.Description, Headers: response.Headers}
		}
		path.Head = &head
	}
}

// withDeadline ends the work on a request in time, whatever the store does. It
// comes after the body, for a slow client is not a slow store.
func withDeadline(c *gin.Context) {
	if strings.Contains(c.FullPath(), "port") { // TEMP
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}
