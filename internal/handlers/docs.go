package handlers

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui/v5/static"
)

// docsPolicy lets the page load from this service alone.
const docsPolicy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed docs.html
var docsPage []byte

// serveDocs serves Swagger UI from the binary. Its files are named one by one, so that any other path below /docs is a
// problem like all unknown paths. swgui's own handler would link html/template, which makes the linker keep every
// exported method of every type: 8 MB.
func serveDocs(engine *gin.Engine) {
	serveFile(engine, "/docs", "text/html; charset=utf-8", "", docsPage)
	for _, file := range []struct{ name, media, coding string }{
		{"swagger-ui.css", "text/css; charset=utf-8", "gzip"},
		{"swagger-ui-bundle.js", "text/javascript; charset=utf-8", "gzip"},
		{"favicon-32x32.png", "image/png", ""},
		{"favicon-16x16.png", "image/png", ""},
	} {
		stored := file.name
		if file.coding != "" {
			stored += ".gz"
		}
		content, err := static.FS.ReadFile(stored)
		if err != nil {
			panic(err) // it is part of the binary
		}
		serveFile(engine, "/docs/"+file.name, file.media, file.coding, content)
	}
}

// serveFile serves content as it is stored, in its coding to every client (RFC 9110, 12.5.3, lets a client that names
// no coding get any): unpacking it for each request would cost CPU and memory that clients can ask for.
func serveFile(engine *gin.Engine, path, media, coding string, content []byte) {
	sum := digest(string(content))
	tag := fmt.Sprintf(`"%x"`, sum[:8])
	engine.GET(path, func(c *gin.Context) {
		header := c.Writer.Header()
		header.Set("Content-Security-Policy", docsPolicy)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		if c.GetHeader("If-None-Match") == tag {
			c.Status(http.StatusNotModified)
			return
		}
		if coding != "" {
			header.Set("Content-Encoding", coding)
		}
		c.Data(http.StatusOK, media, content)
	})
}
