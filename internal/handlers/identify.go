package handlers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
)

// requestIDHeader is what client and service may call a request by.
const requestIDHeader = "X-Request-Id"

// wellFormedID is what is taken from a client: it goes into logs and URIs.
var wellFormedID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

type requestIDKey struct{}

// requestID is the one of the request that ctx belongs to, or "".
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// identify gives a request its id, in its context and its answer, and tells
// of it in the log when it is over, at debug level.
func (a API) identify(c *gin.Context) {
	begin := time.Now()
	id := newUUID(begin)
	if given := c.Request.Header.Values(requestIDHeader); len(given) == 1 && wellFormedID.MatchString(given[0]) {
		id = given[0]
	}
	ctx := context.WithValue(c.Request.Context(), requestIDKey{}, id)
	c.Request = c.Request.WithContext(ctx)
	c.Header(requestIDHeader, id)
	defer func() {
		if a.Log.Enabled(ctx, slog.LevelDebug) {
			a.Log.DebugContext(ctx, "request", "method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
				"bytes", max(c.Writer.Size(), 0), "duration_ms", float64(time.Since(begin).Microseconds())/1000)
		}
	}()
	c.Next()
}

const instancePrefix = "/requests/"

// instance is the URI reference that a problem has of its request. It names and
// leads nowhere.
func instance(ctx context.Context) string {
	if id := requestID(ctx); id != "" {
		return instancePrefix + id
	}
	return ""
}

// identified adds the request's id to each line of the log that is written with
// its context.
type identified struct{ slog.Handler }

// Handle implements slog.Handler.
func (h identified) Handle(ctx context.Context, r slog.Record) error {
	if id := requestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h identified) WithAttrs(attrs []slog.Attr) slog.Handler {
	return identified{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h identified) WithGroup(name string) slog.Handler { return identified{h.Handler.WithGroup(name)} }

// newUUID returns a UUID of version 7: ids sort by the millisecond they were
// made in (RFC 9562, 5.7).
func newUUID(now time.Time) string {
	var random [10]byte
	rand.Read(random[:]) // never fails
	return uuid7(now, random)
}

func uuid7(now time.Time, random [10]byte) string {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], uint64(now.UnixMilli())<<16)
	copy(u[6:], random[:])
	u[6] = u[6]&0x0f | 0x70 // version
	u[8] = u[8]&0x3f | 0x80 // variant
	text := hex.EncodeToString(u[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
