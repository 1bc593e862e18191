package config

import (
	"strconv"
	"strings"
	"unicode"
)

// Faults are the mistakes that the operator has to correct, sorted: each the setting (the variable or the file where
// there is none), its value unless it may be secret, its source, what is wrong, and the cure. It is the error of Load.
type Faults []string

func (f Faults) Error() string { return strings.Join(f, "\n") }

// source is where a value came from. It must not hold the value: Loaded keeps it and can be printed.
type source struct {
	location  string // file:line, variable, or secret file; empty for a default
	secret    bool   // read from a secret file: the value is not to be shown
	inherited string // the key whose value this is
}

// set is true if the operator set this key itself.
func (s source) set() bool { return s.location != "" && s.inherited == "" }

// String is the source as Print shows it.
func (s source) String() string {
	text := s.location
	switch {
	case s.location == "":
		text = "default"
	case s.secret:
		text = "secret file " + text
	}
	if s.inherited != "" {
		return "as " + s.inherited + ": " + text
	}
	return text
}

// from is the source as a fault shows it.
func (s source) from() string {
	if s.location == "" {
		return "(default)"
	}
	return "(from " + s.String() + ")"
}

// shownLength bounds what a fault quotes, in bytes.
const shownLength = 200

// show returns a text as a fault can quote it: short, on one line, and of a URL
// only the scheme, because it may hold a password wherever it was written.
func show(text string) string {
	if scheme, _, isURL := strings.Cut(text, "://"); isURL {
		text = scheme + "://" + masked
	} else if scheme, has := cutLogin(text); has {
		text = scheme + ":" + masked
	}
	if len(text) > shownLength {
		text = text[:shownLength] + "..."
	}
	return oneLine(text)
}

// cutLogin reports whether a text holds the login of a URL, which may lack its slashes, and returns what is before it.
func cutLogin(text string) (scheme string, has bool) {
	scheme, rest, _ := strings.Cut(text, ":")
	return scheme, !strings.Contains(scheme, "/") && strings.Contains(rest, "@")
}

// oneLine quotes a text that is empty or holds what could look like other text.
func oneLine(text string) string {
	odd := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }
	if text == "" || strings.ContainsFunc(text, odd) {
		return strconv.Quote(text)
	}
	return text
}

// words joins a list of two or more for a sentence: "debug, info or warn".
func words(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}
