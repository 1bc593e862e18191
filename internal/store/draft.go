package store

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of the content of an account.
const (
	MaxNameLength     = 256 // characters, of any language
	MaxEmailLength    = 254 // bytes (RFC 5321, 4.5.3.1.3, without the angle brackets)
	MaxLabels         = 64
	MaxLabelKeyLength = 63  // characters, each of A-Z a-z 0-9 . _ -, the first a letter or digit
	MaxLabelLength    = 256 // characters of a label's value, of any language; it may be empty
)

// Draft is the content of an account: the part that a caller decides.
type Draft struct {
	Name   string            `json:"name"`
	Email  string            `json:"email,omitempty"`  // "" is none
	Labels map[string]string `json:"labels,omitempty"` // nil is none
}

// Equal reports whether d and e are the same content; empty labels equal nil.
func (d Draft) Equal(e Draft) bool {
	return d.Name == e.Name && d.Email == e.Email && maps.Equal(d.Labels, e.Labels)
}

// eachPart calls add with the parts of the content that a Revision is made of. A new field adds nothing while it is empty,
// or each ETag would change, and else its name behind a #, with which no label's key begins, and its value.
func (d Draft) eachPart(add func(text string)) {
	add(d.Name)
	add(d.Email)
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		add(key)
		add(d.Labels[key])
	}
}

// LogValue keeps personal data out of the log.
func (d Draft) LogValue() slog.Value { return slog.StringValue("withheld") }

// Validate returns nil or *Invalid. A name has 1 to MaxNameLength characters, one of them visible. An email is empty or
// an address as in local@domain, of at most MaxEmailLength bytes, without display name, comment, quotes or invisible
// characters; the DNS could hold its domain. There are at most MaxLabels labels. All is valid UTF-8 without control
// characters, in any normalization form.
func (d Draft) Validate() error {
	if err := validText("name", d.Name, 1, MaxNameLength); err != nil {
		return err
	}
	if !strings.ContainsFunc(d.Name, func(r rune) bool { return !invisible(r) }) {
		return &Invalid{"name", "must have a visible character"}
	}
	if err := validEmail(d.Email); err != nil {
		return err
	}
	if len(d.Labels) > MaxLabels {
		return &Invalid{"labels", fmt.Sprintf("must be at most %d", MaxLabels)}
	}
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) { // of many faults always the same one
		if !validLabelKey(key) {
			return &Invalid{"labels", "keys " + labelKeyRule}
		}
		if err := validText("labels/"+key, d.Labels[key], 0, MaxLabelLength); err != nil {
			return err
		}
	}
	return nil
}

// validateChange is Validate for what is not the same in old: content that was stored under wider limits may stay.
func (d Draft) validateChange(old Draft) error {
	if d.Name == old.Name {
		d.Name = "unchanged"
	}
	if d.Email == old.Email {
		d.Email = ""
	}
	if maps.Equal(d.Labels, old.Labels) {
		d.Labels = nil
	}
	return d.Validate()
}

// LabelKeyPattern is the grammar of a label's key, as a regular expression that Go and JSON Schema read alike: no URL,
// JSON Pointer or script has to escape it.
const LabelKeyPattern = `^[A-Za-z0-9][A-Za-z0-9._-]*$`

var labelKeyGrammar = regexp.MustCompile(LabelKeyPattern)

const labelKeyRule = "must have 1 to 63 of A-Z, a-z, 0-9 and . _ -, the first a letter or digit"

func validLabelKey(key string) bool {
	return len(key) <= MaxLabelKeyLength && labelKeyGrammar.MatchString(key)
}
