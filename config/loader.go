package config

import (
	"fmt"
	"strings"
	"unicode"
)

// setting is the text that one source gives to one key.
type setting struct {
	row        row
	dependency string // the name in its key, if there is one
	text       string
	source     source
}

func (s setting) key() string { return named(s.row.key, s.dependency) }

// subject starts a fault: the value, unless it may be secret, and its source.
func (s setting) subject() string {
	if s.source.secret || isSecret(s.row.value) {
		return "the value " + s.source.from()
	}
	return show(s.text) + " " + s.source.from()
}

// layer is what one source sets, by key.
type layer map[string]setting

// loader is one run of Load: what it found in the sources, and the faults.
type loader struct {
	schema      schema
	warnUnknown bool
	warnings    []string
	faults      Faults
	bad         map[string]bool   // keys and sections with a fault of their own; "" if the file has one
	declared    map[string]string // the dependencies, and where each was seen first
	origins     map[string]source
}

func (l *loader) add(to layer, s setting) {
	key := s.key()
	if before, twice := to[key]; twice {
		l.badFault(key, "is set by both %s and %s: keep one", before.source.location, s.source.location)
		return
	}
	to[key] = s
}

// fault notes a fault. key may be any text; the message must be fit to show. A fault is one line, even if a name from a
// file has line breaks: it must not look like another.
func (l *loader) fault(key, format string, args ...any) {
	l.faults = append(l.faults, strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, show(key)+": "+fmt.Sprintf(format, args...)))
}

// badFault notes a fault that leaves a key without its value, or a section without what may be in it.
func (l *loader) badFault(key, format string, args ...any) {
	l.bad[key] = true
	l.fault(key, format, args...)
}

// isBad is true if the operator may have set this key in something that could
// not be read. No rule is asked about such a key, and it may be missing.
func (l *loader) isBad(key string) bool {
	for key != "" && !l.bad[key] {
		key = parent(key)
	}
	return l.bad[key]
}

// unknown notes an unknown name: a fault, or a warning if the operator says so.
func (l *loader) unknown(name, message string) {
	if l.warnUnknown {
		l.warnings = append(l.warnings, show(name)+": "+message+" (ignored)")
		return
	}
	l.fault(name, "%s", message)
}
