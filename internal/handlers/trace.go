package handlers

import (
	"net/http"
	"strings"
)

// traceID returns the trace-id of a request's traceparent (W3C Trace Context, level 1), or "" unless there is one and
// it is well formed. It is for the log alone: the service makes no spans.
func traceID(r *http.Request) string {
	given := r.Header["Traceparent"]
	if len(given) != 1 {
		return ""
	}
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	text := given[0]
	if len(text) < length || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return ""
	}
	version, trace, parent, flags := text[:2], text[3:35], text[36:52], text[53:length]
	onlyOf := func(text, characters string) bool { return strings.Trim(text, characters) == "" }
	switch {
	case !onlyOf(version+trace+parent+flags, "0123456789abcdef"), version == "ff", onlyOf(trace, "0"), onlyOf(parent, "0"):
		return ""
	case len(text) > length && (version == "00" || text[length] != '-'): // a later version may have more
		return ""
	}
	return trace
}
