package handlers

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// serveProblems serves a page for each type of the table of problems, at the path that the type names. curl gets text, a
// browser asks for HTML.
func serveProblems(engine *gin.Engine) {
	pages := make(map[string]Problem)
	for _, row := range problems {
		pages[row.problem.Type] = row.problem
	}
	engine.GET("/problems/:type", func(c *gin.Context) {
		p, known := pages[c.Request.URL.Path]
		if !known {
			writeProblem(c, problem(http.StatusNotFound, "There is no such type of problem."))
			return
		}
		media, page := preferred(c.GetHeader("Accept"), "text/plain", "text/html"), p.textPage()
		if media == "text/html" {
			page = p.htmlPage()
		}
		c.Header("Vary", "Accept")
		c.Header("Content-Security-Policy", docsPolicy)
		c.Data(http.StatusOK, media+"; charset=utf-8", []byte(page))
	})
}

func (p *Problem) textPage() string {
	return strings.Join(append([]string{p.Title}, p.lines()...), "\n\n") + "\n"
}

func (p *Problem) htmlPage() string {
	title := html.EscapeString(p.Title)
	page := `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>` + title + `</title>` +
		`<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.5 sans-serif;max-width:40em;margin:3em auto;` +
		`padding:0 1em}</style></head><body><h1>` + title + "</h1>\n"
	for _, line := range p.lines() {
		page += "<p>" + html.EscapeString(line) + "</p>\n"
	}
	return page + `<p><a href="../docs">The API</a></p></body></html>` + "\n"
}

// lines are the paragraphs of the page, below its title.
func (p *Problem) lines() []string {
	lines := []string{fmt.Sprintf("Status %d, type %s.", p.Status, p.Type), p.Detail, p.do}
	if p.retryAfter != "" {
		lines = append(lines, "Retry-After: "+p.retryAfter+" s.")
	}
	return lines
}
