package handlers

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// problemPage is what is told of a type of problem at the path that its type names.
type problemPage struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Meaning    string `json:"meaning"`
	Do         string `json:"what_to_do"`
	RetryAfter string `json:"retry_after,omitempty"` // seconds
}

// serveProblems serves a page for each type of the table of problems. curl gets text, a browser asks for HTML.
func serveProblems(engine *gin.Engine) {
	pages := make(map[string]problemPage)
	for _, row := range problems {
		if p := row.problem; p.Type != "" {
			pages[p.Type] = problemPage{p.Type, p.Title, p.Status, p.Detail, p.do, p.retryAfter}
		}
	}
	engine.GET("/problems/:type", func(c *gin.Context) {
		page, known := pages[c.Request.URL.Path]
		if !known {
			writeProblem(c, problem(http.StatusNotFound, "There is no such type of problem."))
			return
		}
		media, content := preferred(c.GetHeader("Accept"), "text/plain", "application/json", "text/html"), page.text()
		switch media {
		case "application/json":
			content = append(marshal(page), '\n')
		case "text/html":
			content = page.html()
		}
		c.Header("Vary", "Accept")
		c.Header("Content-Security-Policy", docsPolicy)
		c.Data(http.StatusOK, media+"; charset=utf-8", content)
	})
}

func (p problemPage) text() []byte {
	return []byte(strings.Join(append([]string{p.Title}, p.lines()...), "\n\n") + "\n")
}

func (p problemPage) html() []byte {
	title := html.EscapeString(p.Title)
	page := `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>` + title + `</title>` +
		`<meta name="viewport" content="width=device-width"><style>body{font:1rem/1.5 sans-serif;max-width:40em;margin:3em auto;` +
		`padding:0 1em}</style></head><body><h1>` + title + "</h1>\n"
	for _, line := range p.lines() {
		page += "<p>" + html.EscapeString(line) + "</p>\n"
	}
	return []byte(page + `<p><a href="../docs">The API</a></p></body></html>` + "\n")
}

func (p problemPage) lines() []string {
	lines := []string{fmt.Sprintf("Status %d, type %s.", p.Status, p.Type), p.Meaning, p.Do}
	if p.RetryAfter != "" {
		lines = append(lines, "Retry-After: "+p.RetryAfter+" s.")
	}
	return lines
}
