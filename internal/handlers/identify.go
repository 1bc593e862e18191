package handlers

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// Values of headers that answers share; nobody changes them.
var (
	jsonMedia  = []string{"application/json"}
	noStore    = []string{"no-store"}
	revalidate = []string{"private, no-cache"} // for the client's own cache, which asks with the ETag each time
	noSniff    = []string{"nosniff"}
	varyAccept = []string{"Accept"}
)

// requestIDHeader is the header with the id of a request.
const requestIDHeader = "X-Request-Id"

// wellFormedID is what is taken from a client: it goes into logs and URIs.
var wellFormedID = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// requestNames are by what the log names a request.
type requestNames struct{ id, trace string }

type requestNamesKey struct{}

// namesOf returns the names of the request that ctx belongs to, empty if there is none.
func namesOf(ctx context.Context) requestNames {
	names, _ := ctx.Value(requestNamesKey{}).(requestNames)
	return names
}

// attrs are for a line of the log.
func (n requestNames) attrs() []any {
	if n.trace == "" {
		return []any{"request_id", n.id}
	}
	return []any{"request_id", n.id, "trace_id", n.trace}
}

func idOf(c *gin.Context) string { return c.Writer.Header().Get(requestIDHeader) }

func named(c *gin.Context) requestNames { return requestNames{idOf(c), traceID(c.Request)} }

// withNames puts the request's names into its context, for what knows nothing of c.
func withNames(c *gin.Context) {
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestNamesKey{}, named(c)))
}

// identify gives an answer the headers that all of them have: the id of its request, and what keeps it out of caches,
// unless its operation says otherwise, and from being taken for another type. It logs the request when it is over, at
// debug level.
func identify(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		var id string
		if given := c.Request.Header[requestIDHeader]; len(given) == 1 && len(given[0]) <= 128 && wellFormedID.MatchString(given[0]) {
			id = given[0]
		} else {
			id = newUUID()
		}
		header := c.Writer.Header()
		header[requestIDHeader], header["Cache-Control"], header["X-Content-Type-Options"] = []string{id}, noStore, noSniff
		if !log.Enabled(c.Request.Context(), slog.LevelDebug) {
			c.Next()
			return
		}
		begin := time.Now()
		defer func() {
			log.Debug("request", append([]any{"method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
				"bytes", max(c.Writer.Size(), 0), "duration_ms", float64(time.Since(begin).Microseconds()) / 1000},
				requestNames{id, traceID(c.Request)}.attrs()...)...)
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

// Random bytes for ids are read from the system many at a time: to read them for each id takes longer than the rest of it.
func init() { uuid.EnableRandPool() }

// newUUID returns a UUID of version 7: ids sort by the time they were made at.
func newUUID() string { return uuid.Must(uuid.NewV7()).String() }
