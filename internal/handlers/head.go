package handlers

import (
	"cmp"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Limits of what comes before a body, in bytes. net/http's own limit of the
// header is above them; what goes beyond that one is answered in plain text.
const (
	maxURI    = 8 << 10
	maxHeader = 14 << 10 // all names and values
)

// acceptPatch are the media types that PATCH takes.
const acceptPatch = "application/merge-patch+json, application/json"

// checkHead returns what is wrong with the target or the header of a request for
// op, which is answered with this media type, or nil.
func checkHead(r *http.Request, op *huma.Operation, answer string) error {
	if len(r.RequestURI) > maxURI {
		return problem(http.StatusRequestURITooLong, fmt.Sprintf("The target is longer than %d bytes.", maxURI))
	}
	if headerSize(r.Header) > maxHeader {
		return problem(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("The header is longer than %d bytes.", maxHeader))
	}
	if err := checkQuery(r.URL.RawQuery, op); err != nil {
		return err
	}
	if quality(strings.Join(r.Header.Values("Accept"), ","), answer) == 0 {
		return problem(http.StatusNotAcceptable, "There is only "+answer+" here.")
	}
	return joinConditions(r.Header)
}

// checkQuery refuses what huma would take for absent, or read in part: an empty parameter that is not boolean, and one
// that stands twice. It also refuses a boolean parameter with another value: huma does so later, when an import has its
// place.
func checkQuery(raw string, op *huma.Operation) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return problem(http.StatusBadRequest, "The query of the URL is malformed.")
	}
	var wrong []InvalidField
	for name, values := range query {
		known := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		boolean := known >= 0 && op.Parameters[known].Schema.Type == huma.TypeBoolean
		_, notBool := strconv.ParseBool(values[0])
		switch {
		case len(values) > 1:
			wrong = append(wrong, InvalidField{Parameter: name, Detail: "stands twice"})
		case known >= 0 && values[0] == "" && !boolean:
			wrong = append(wrong, InvalidField{Parameter: name, Detail: "is empty; leave it out to not use it"})
		case boolean && values[0] != "" && notBool != nil:
			wrong = append(wrong, InvalidField{Parameter: name, Detail: "must be true or false, or have no value"})
		}
	}
	if wrong != nil {
		return unprocessable(wrong...)
	}
	return nil
}

// isSet reports whether a boolean parameter is true: it is by its presence, unless its value is false or 0.
func isSet(query url.Values, name string) bool {
	value := query.Get(name)
	return query.Has(name) && value != "0" && !strings.EqualFold(value, "false")
}

func headerSize(header http.Header) (size int) {
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// conditions are the headers that an operation must not be performed against
// (RFC 9110, 13.1), whether it knows them or not. The first two are lists.
var conditions = []string{"If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since", "If-Range"}

// joinConditions makes one line of a condition that stands in several, because
// huma reads one, and refuses an empty one, which would be taken for absent.
func joinConditions(header http.Header) error {
	for _, name := range conditions[:2] {
		lines, there := header[name]
		if all := strings.Join(lines, ","); there {
			if strings.Trim(all, ", \t") == "" {
				return malformed(name, "is empty")
			}
			header.Set(name, all)
		}
	}
	return nil
}

// checkTaken refuses a change with a condition, or of a part, that its operation does not support.
func checkTaken(r *http.Request, op *huma.Operation) error {
	names := notTaken(op)
	for _, name := range names {
		_, there := r.Header[name]
		switch {
		case there && slices.Contains(conditions, name) && !slices.Contains(names, "If-Match"):
			return malformed(name, "is not supported by this operation; use If-Match")
		case there:
			return malformed(name, "is not supported by this operation")
		}
	}
	return nil
}

// notTaken returns the headers that an operation must not be performed against:
// the conditions that it does not know, and of a PUT the part to put (RFC 9110,
// 14.5). One that changes nothing takes all and ignores them.
func notTaken(op *huma.Operation) (names []string) {
	if op.Method == http.MethodGet || op.Method == http.MethodHead {
		return nil
	}
	if op.Method == http.MethodPut {
		names = append(names, "Content-Range")
	}
	for _, name := range conditions {
		if !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// checkLength refuses a body of no length, which would be taken for none. A stream may be empty.
func checkLength(r *http.Request, stream bool) error {
	switch {
	case r.ContentLength == 0 && r.Header.Get("Content-Length") == "":
		return problem(http.StatusLengthRequired,
			"A body is required, with Content-Length or Transfer-Encoding: chunked.")
	case r.ContentLength == 0 && !stream:
		return problem(http.StatusBadRequest, "A body is required.")
	}
	return nil
}

// mediaType returns the type of a body in UTF-8, in lower case, or "" if the header
// is absent, malformed, stands twice or names another charset.
func mediaType(header http.Header) string {
	lines := header.Values("Content-Type")
	if len(lines) != 1 {
		return ""
	}
	media, params, err := mime.ParseMediaType(lines[0])
	charset := strings.ToLower(cmp.Or(params["charset"], "utf-8"))
	if err != nil || charset != "utf-8" && charset != "utf8" {
		return ""
	}
	return media
}

// checkMedia refuses a body of a media type or coding that the operation does not take.
func checkMedia(r *http.Request, expected *huma.RequestBody, stream bool) error {
	if expected.Content[mediaType(r.Header)] == nil {
		media := slices.Sorted(maps.Keys(expected.Content))
		slices.Reverse(media) // merge-patch+json before json
		p := problem(http.StatusUnsupportedMediaType, "The body must be "+strings.Join(media, " or ")+".")
		if r.Method == http.MethodPatch {
			p.acceptPatch = acceptPatch // RFC 5789, 2.2
		}
		return p
	}
	coding := strings.ToLower(cmp.Or(strings.Join(r.Header.Values("Content-Encoding"), ","), "identity"))
	p := problem(http.StatusUnsupportedMediaType, "The body must not be encoded.")
	p.acceptEncoding = "identity" // RFC 9110, 15.5.16
	switch {
	case coding == "identity", stream && (coding == "gzip" || coding == "x-gzip"):
		return nil
	case stream:
		p.Detail, p.acceptEncoding = "The body must not be encoded, or be gzip.", "gzip"
	}
	return p
}
