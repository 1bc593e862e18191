package handlers

import (
	"mime"
	"slices"
	"strconv"
	"strings"

	"accountservice/internal/checks"
)

// quality is how much an Accept header wants a media type, from 0, refused, to
// 1 (RFC 9110, 12.5.1): the most specific range that matches decides.
func quality(header, media string) float64 {
	if strings.TrimSpace(header) == "" {
		return 1
	}
	kind, _, _ := strings.Cut(media, "/")
	ranges := []string{"*/*", kind + "/*", media}
	best, wanted := -1, 0.0
	for part := range strings.SplitSeq(header, ",") {
		given, params, err := mime.ParseMediaType(part)
		if specific := slices.Index(ranges, given); err == nil && specific > best {
			best, wanted = specific, weight(params["q"])
		}
	}
	return wanted
}

// weight reads a q parameter. What is none refuses.
func weight(q string) float64 {
	if q == "" {
		return 1
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil || !(w > 0) { // NaN, too
		return 0
	}
	return min(w, 1)
}

// healthForm is the form an Accept header likes best. It is JSON if the header
// takes none of them: a probe must never be told 406.
func healthForm(accept string) (checks.Form, string) {
	best, form, contentType := quality(accept, "application/json"), checks.JSON, "application/json"
	if q := quality(accept, "application/health+json"); q > best {
		best, form, contentType = q, checks.HealthJSON, "application/health+json"
	}
	if quality(accept, "text/plain") > best {
		form, contentType = checks.Text, "text/plain; charset=utf-8"
	}
	return form, contentType
}
