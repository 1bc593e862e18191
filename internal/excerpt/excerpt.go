// Package excerpt makes texts short, and fit for one line.
package excerpt

import (
	"strings"
	"unicode"
)

const mark = "…"

// Start returns text, or if that is longer than most bytes, its beginning of at most most bytes and "…". text must be
// valid UTF-8.
func Start(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return uncut(text[:most]) + mark
}

// Ends returns text, or if that is longer than most bytes, its beginning, "…" and its end, of at most most bytes
// together. Messages of errors have what can be done at their end. text must be valid UTF-8.
func Ends(text string, most int) string {
	if len(text) <= most {
		return text
	}
	half := max(0, most-len(mark)) / 2
	return uncut(text[:half]) + mark + uncut(text[len(text)-half:])
}

// Line returns text as one line of valid UTF-8 without control characters, which a terminal could obey.
func Line(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}

// uncut returns a part of a text without the characters that are cut.
func uncut(part string) string { return strings.ToValidUTF8(part, "") }
