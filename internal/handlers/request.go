package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// readBody reads a body whole before any work begins, so that a client that is
// slow, too long or gone is told so, and never costs a transaction.
func (a API) readBody(c *gin.Context) {
	if c.Request.Body == nil || c.Request.Body == http.NoBody || c.FullPath() == "" || strings.Contains(c.FullPath(), "port") { // TEMP
		return
	}
	if coding := c.GetHeader("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		write(c, problem(http.StatusUnsupportedMediaType, "A body must not be encoded."))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, a.MaxBody))
	var tooLong *http.MaxBytesError
	var network net.Error
	switch {
	case err == nil:
		c.Request.Body = io.NopCloser(bytes.NewReader(body))
	case errors.As(err, &tooLong):
		write(c, problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", a.MaxBody)))
	case errors.As(err, &network) && network.Timeout():
		write(c, problem(http.StatusRequestTimeout, "The body did not arrive in time."))
	default:
		write(c, problem(http.StatusBadRequest, "The body could not be read to its end."))
	}
}

// acceptable refuses what huma lets pass: a query that can't be parsed, and a
// client that does not take this media type.
func acceptable(kind, subtype string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		target := ctx.URL()
		if _, err := url.ParseQuery(target.RawQuery); err != nil {
			write(humagin.Unwrap(ctx), problem(http.StatusBadRequest, "The query of the URL is malformed."))
			return
		}
		if !accepts(ctx.Header("Accept"), kind, subtype) {
			write(humagin.Unwrap(ctx), problem(http.StatusNotAcceptable, "There is only "+kind+"/"+subtype+" here."))
			return
		}
		next(ctx)
	}
}

// accepts says whether an Accept header takes the media type (RFC 9110, 12.5.1):
// the most specific range that matches decides, and "q=0" in it refuses.
func accepts(header, kind, subtype string) bool {
	if strings.TrimSpace(header) == "" {
		return true
	}
	best, taken := -1, false
	for part := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		specific := -1
		switch media {
		case kind + "/" + subtype:
			specific = 2
		case kind + "/*":
			specific = 1
		case "*/*":
			specific = 0
		}
		if specific > best {
			q, err := strconv.ParseFloat(params["q"], 64)
			best, taken = specific, params["q"] == "" || err == nil && q > 0
		}
	}
	return taken
}

// unmarshalStrict takes JSON (RFC 8259) of valid UTF-8 without duplicate names,
// trailing data, or names that differ in case from ours. Its errors tell the
// place and never the value.
func unmarshalStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a name stands twice in one object")
	case errors.As(err, &syntax):
		return fmt.Errorf("not valid JSON at byte %d", syntax.ByteOffset)
	case errors.As(err, &semantic):
		return errors.New("has a member of an unknown name or a wrong type")
	}
	return errors.New("not valid JSON")
}
