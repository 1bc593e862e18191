package handlers

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"accountservice/internal/store/transfer"
)

// newEngine returns a router whose every refusal is a problem. before sees each request and its answer first.
func newEngine(log *slog.Logger, before ...gin.HandlerFunc) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.UseRawPath = true // see slashes
	engine.HandleMethodNotAllowed = true
	engine.Use(append(before, identify(log), recoverPanic(log))...)
	engine.NoRoute(func(c *gin.Context) {
		refuse(c, problem(http.StatusNotFound, "There is nothing at this path."))
	})
	engine.NoMethod(func(c *gin.Context) {
		allow := c.Writer.Header().Get("Allow") + ", " + http.MethodOptions
		c.Header("Allow", allow)
		if c.Request.Method == http.MethodOptions {
			if strings.Contains(allow, http.MethodPatch) {
				c.Header("Accept-Patch", acceptPatch)
			}
			c.Status(http.StatusNoContent)
			return
		}
		refuse(c, problem(http.StatusMethodNotAllowed, "This path does not take this method; see the Allow header."))
	})
	return engine
}

// recoverPanic answers a panic like any other error, if nothing was sent yet.
func recoverPanic(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler {
				log.Error("request panicked", append([]any{"method", c.Request.Method, "route", c.FullPath(), "panic", v,
					"stack", string(debug.Stack())}, named(c).attrs()...)...)
			}
			if c.Writer.Written() || v == http.ErrAbortHandler {
				panic(http.ErrAbortHandler) // cut the answer off, so that it can't be taken as whole
			}
			refuse(c, problem(http.StatusInternalServerError, ""))
		}()
		c.Next()
	}
}

// newAPI returns a huma.API: it describes operations in a document, and makes them routes of the engine.
func newAPI(engine *gin.Engine, version string) huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	format := huma.Format{Marshal: func(w io.Writer, v any) error {
		text, err := transfer.Marshal(v)
		if err == nil {
			_, err = w.Write(append(text, '\n'))
		}
		return err
	}}
	return huma.NewAPI(huma.Config{ // without what adds $schema to bodies, or serves a page from a CDN
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "accountservice",
				Description: "Keeps accounts and tells the truth about its own health.",
				Version:     version,
			},
			Servers:    []*huma.Server{{URL: "."}}, // where the document is, also below the prefix of a proxy
			Components: &huma.Components{Schemas: registry},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{fromHuma},
	}, adapter{engine})
}

// adapter lets huma's operations be Gin's routes.
type adapter struct{ *gin.Engine }

// Handle implements huma.Adapter. Gin writes /accounts/:id for /accounts/{id}, and /a\:b for /a:b.
func (a adapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	path := strings.NewReplacer(":", `\:`, "{", ":", "}", "").Replace(op.Path)
	before, _ := op.Metadata[beforeKey].(quick)
	a.Engine.Handle(op.Method, path, func(c *gin.Context) {
		if before == nil || !before(c) {
			withNames(c)
			handle(humagin.NewContext(op, c))
		}
	})
}

// fromHuma turns what huma says of a parameter into a problem: no value of the request is repeated, and nothing from
// inside is told. Problems of our own get their instance.
func fromHuma(ctx huma.Context, _ string, v any) (any, error) {
	p, is := v.(*Problem)
	if m, of := v.(*huma.ErrorModel); of {
		p, is = parameterProblem(m), true
	}
	if !is {
		return v, nil
	}
	p.Instance = instance(namesOf(ctx.Context()).id)
	return p, nil
}

func parameterProblem(m *huma.ErrorModel) *Problem {
	if m.Status >= 500 {
		return problem(m.Status, "")
	}
	var fields []InvalidField
	for _, e := range m.Errors { // of "query.limit"
		_, name, _ := strings.Cut(e.Location, ".")
		detail, _, _ := strings.Cut(e.Message, ": ") // behind it huma has errors of others, with the value in them
		if strings.HasPrefix(detail, "invalid date/time") {
			detail = "must be a time of RFC 3339, such as 2026-11-22T14:39:46Z; in a URL, + is written %2B"
		}
		fields = append(fields, InvalidField{Parameter: name, Detail: detail})
	}
	return unprocessable(fields...)
}

// publish serves what the operations say of themselves, and HEAD wherever GET is answered.
func publish(engine *gin.Engine, api huma.API) http.Handler {
	openAnswers(api.OpenAPI())
	serveDocument(engine, "/openapi.json", func() ([]byte, error) { return json.Marshal(api.OpenAPI()) })
	serveDocument(engine, "/openapi-3.0.json", func() ([]byte, error) { return olderDocument(api.OpenAPI()) })
	serveDocs(engine)
	serveProblems(engine)
	engine.GET("/", func(c *gin.Context) { // relative, as a proxy may strip a prefix
		c.Header("Location", "docs")
		c.String(http.StatusFound, "The API is at docs.\n")
	})
	for _, route := range engine.Routes() {
		if route.Method == http.MethodGet {
			engine.HEAD(route.Path, route.HandlerFunc)
		}
	}
	return slashes{engine}
}

// slashes has a path with %2F routed as it is written, so that this is no slash (RFC 3986, 2.2): a proxy that guards a
// path may not read it as one. Any other character means the same as its escape.
type slashes struct{ *gin.Engine }

func (s slashes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if raw := r.URL.RawPath; raw != "" && !strings.Contains(raw, "%2F") && !strings.Contains(raw, "%2f") {
		r.URL.RawPath = ""
	}
	s.Engine.ServeHTTP(w, r)
}
