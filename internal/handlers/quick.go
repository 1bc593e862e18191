package handlers

import (
	"net/http"
	"sync/atomic"

	"github.com/gin-gonic/gin"

	"accountservice/internal/checks"
	"accountservice/internal/store"
)

// plain reports whether a request for JSON has nothing that an operation must look at, but its path.
func plain(r *http.Request) bool {
	if r.URL.RawQuery != "" || r.URL.ForceQuery || len(r.RequestURI) > maxURI {
		return false
	}
	accept := r.Header["Accept"]
	return (len(accept) == 0 || len(accept) == 1 && (accept[0] == "*/*" || accept[0] == "application/json")) &&
		r.Header["If-Match"] == nil && r.Header["If-None-Match"] == nil && headerSize(r.Header) <= maxHeader
}

// quickGet answers with an account that the store has at hand.
func (a accounts) quickGet(c *gin.Context) bool {
	if !plain(c.Request) {
		return false
	}
	id, err := store.ParseID(c.Param("id"))
	if err != nil {
		return false
	}
	acc, known := a.live.accounts().Peek(id)
	if !known {
		return false
	}
	header := c.Writer.Header()
	header["Content-Type"], header["Cache-Control"] = jsonMedia, revalidate
	header["Etag"] = []string{`"` + string(acc.Revision) + `"`}
	c.Writer.Write(acc.JSON) // an error is of the connection, which then ends
	return true
}

// quickHealth answers with the last published health, which is rendered once, and once without the reasons.
func quickHealth(health Health) quick {
	type rendered struct {
		of *checks.Snapshot
		checks.Answer
	}
	var full, withheld atomic.Pointer[rendered]
	return func(c *gin.Context) bool {
		if !plain(c.Request) {
			return false
		}
		last := &full
		if c.GetBool(withheldKey) {
			last = &withheld
		}
		now, r := health.Snapshot(), last.Load()
		if r == nil || r.of != now {
			r = &rendered{now, shown(now, c).AnswerHealth(checks.JSON, false)}
			last.Store(r)
		}
		if !r.OK {
			return false
		}
		header := c.Writer.Header()
		header["Content-Type"], header["Vary"] = jsonMedia, varyAccept
		c.Writer.Write(r.Body)
		return true
	}
}
