package handlers

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// requestIDHeader is the header with the id of a request.
const requestIDHeader = "X-Request-Id"

// wellFormedID is what is taken from a client: it goes into logs and URIs.
var wellFormedID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

type requestIDKey struct{}

// requestID returns that of the request that ctx belongs to, or "".
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// idOf returns that of the request of c.
func idOf(c *gin.Context) string { return c.Writer.Header().Get(requestIDHeader) }

// withID puts the request's id into its context, for what knows nothing of c.
func withID(c *gin.Context) {
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestIDKey{}, idOf(c)))
}

// identify gives a request its id, in the header of its answer, and logs it when it is over, at debug level.
func identify(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		begin := time.Now()
		id := newUUID()
		if given := c.Request.Header.Values(requestIDHeader); len(given) == 1 && wellFormedID.MatchString(given[0]) {
			id = given[0]
		}
		c.Writer.Header()[requestIDHeader] = []string{id}
		defer func() {
			if log.Enabled(c.Request.Context(), slog.LevelDebug) {
				log.Debug("request", "method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
					"bytes", max(c.Writer.Size(), 0), "duration_ms", float64(time.Since(begin).Microseconds())/1000, "request_id", id)
			}
		}()
		c.Next()
	}
}

// instance returns the URI reference that a problem has of its request. It names the request and leads nowhere.
func instance(id string) string {
	if id != "" {
		return "/requests/" + id
	}
	return ""
}

// newUUID returns a UUID of version 7: ids sort by the time they were made at.
func newUUID() string { return uuid.Must(uuid.NewV7()).String() }
