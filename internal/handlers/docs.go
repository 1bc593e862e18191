package handlers

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"

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
	serveFile(engine, "/docs", "text/html; charset=utf-8", docsPage, false)
	for stored, media := range map[string]string{
		"swagger-ui.css.gz":       "text/css; charset=utf-8",
		"swagger-ui-bundle.js.gz": "text/javascript; charset=utf-8",
		"favicon-32x32.png":       "image/png",
		"favicon-16x16.png":       "image/png",
	} {
		content, err := static.FS.ReadFile(stored)
		if err != nil {
			panic(err) // it is part of the binary
		}
		name, zipped := strings.CutSuffix(stored, ".gz")
		serveFile(engine, "/docs/"+name, media, content, zipped)
	}
}

// serveFile serves content as it is stored, zipped to every client (RFC 9110, 12.5.3, lets a client that names no coding
// get any): unpacking it for each request would cost CPU and memory that clients can ask for.
func serveFile(engine *gin.Engine, path, media string, content []byte, zipped bool) {
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
		if zipped {
			header.Set("Content-Encoding", "gzip")
		}
		c.Data(http.StatusOK, media, content)
	})
}
