package handlers

import (
	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// docsPolicy lets the page load from this service alone.
const docsPolicy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// serveDocs serves Swagger UI from the binary. Its files are named one by one,
// so that any other path below /docs is a problem like all unknown paths.
func serveDocs(engine *gin.Engine) {
	// relative to /docs, so that a proxy may serve it below a prefix
	page := v5emb.NewHandlerWithConfig(swgui.Config{Title: "accountservice", SwaggerJSON: "../openapi.json",
		BasePath: "docs", InternalBasePath: "/docs"})
	for _, path := range []string{"/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js",
		"/docs/swagger-ui-standalone-preset.js", "/docs/favicon-32x32.png", "/docs/favicon-16x16.png"} {
		engine.GET(path, func(c *gin.Context) {
			c.Header("Content-Security-Policy", docsPolicy)
			c.Header("X-Content-Type-Options", "nosniff")
			page.ServeHTTP(c.Writer, c.Request)
		})
	}
}
