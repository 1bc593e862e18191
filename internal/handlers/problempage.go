package handlers

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// serveProblems serves a text for each type of the table of problems, at the path that the type names.
func serveProblems(engine *gin.Engine) {
	pages := make(map[string]string)
	for _, row := range problems {
		pages[row.problem.Type] = page(row.problem)
	}
	engine.GET("/problems/:type", func(c *gin.Context) {
		text, known := pages[c.Request.URL.Path]
		if !known {
			writeProblem(c, problem(http.StatusNotFound, "There is no such type of problem."))
			return
		}
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(text))
	})
}

func page(p Problem) string {
	text := fmt.Sprintf("%s\n\nStatus %d, type %s.\n\n%s\n\n%s\n", p.Title, p.Status, p.Type, p.Detail, p.do)
	if p.retryAfter != "" {
		text += "\nRetry-After: " + p.retryAfter + " s.\n"
	}
	return text
}
