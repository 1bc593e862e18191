package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Fault is one thing the operator has to mend.
type Fault struct {
	Key     string // the setting; the variable or the file where there is none
	Message string // the value unless it may be secret, its source, what is wrong, the cure
}

// String is one line, whatever names a file has: none of them can look like
// another fault.
func (f Fault) String() string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, f.Key+": "+f.Message)
}

// Faults are all the faults of one run. It is the error of Load.
type Faults []Fault

// Error has one line a fault, sorted by key.
func (f Faults) Error() string {
	lines := make([]string, 0, len(f))
	for _, fault := range f.sorted() {
		lines = append(lines, fault.String())
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	return slices.SortedStableFunc(slices.Values(f), func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
}

// source is where a value came from. It never holds the value: Loaded keeps it,
// and Loaded can be printed.
type source struct {
	place     string // file:line, variable, or secret file; empty for a default
	secret    bool   // read from a secret file: the value is not to be shown
	inherited string // the key whose value this is
}

// set says that an operator wrote the value for this very key.
func (s source) set() bool { return s.place != "" && s.inherited == "" }

// String is what Print says about a value.
func (s source) String() string {
	place := s.place
	switch {
	case s.place == "":
		place = "default"
	case s.secret:
		place = "secret file " + place
	}
	if s.inherited != "" {
		return "as " + s.inherited + ": " + place
	}
	return place
}

// from is what a fault says about a value.
func (s source) from() string {
	if s.place == "" {
		return "(default)"
	}
	return "(from " + s.String() + ")"
}

// shownLength cuts what a fault quotes: enough to recognise, not a whole file.
const shownLength = 200

// show is somebody's text as a fault can quote it: short, on one line, and of a
// URL no more than the scheme, since it is as secret in the wrong place.
func show(text string) string {
	if scheme, _, isURL := strings.Cut(text, "://"); isURL {
		text = scheme + "://" + masked
	}
	if len(text) > shownLength {
		text = text[:shownLength] + "..."
	}
	return oneLine(text)
}

// oneLine quotes a text with anything in it that could look like another text.
func oneLine(text string) string {
	odd := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }
	if text == "" || strings.ContainsFunc(text, odd) {
		return strconv.Quote(text)
	}
	return text
}

// words is a list for a sentence: "debug, info or warn".
func words(list []string) string {
	last := len(list) - 1
	if last < 1 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:last], ", ") + " or " + list[last]
}
