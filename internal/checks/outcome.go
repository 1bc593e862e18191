package checks

import (
	"cmp"
	"errors"
	"strings"
	"time"
	"unicode"
)

// maxText bounds an error or warning in bytes, because its text may come from another service and goes into each
// answer that a probe reads.
const maxText = 512

// Warner is the error of a run that passed with a warning, such as a certificate that ends soon. It may be wrapped,
// and joined with other Warners. Joined with any other error the run has failed.
type Warner interface {
	error
	Warning() string // one line for operators, without secrets
}

// Unasked is the error of a run that asked nothing and repeats the last error. It counts as a failure, and its time
// is not measured.
type Unasked interface {
	error
	Unasked()
}

// outcome is how one run ended.
type outcome struct {
	failure string // why it failed, as one printable line; empty if it passed
	warning string // of a run that passed, or empty
	skipped bool   // it asked nothing
	took    time.Duration
}

// outcomeOf returns the outcome of a run that returned err.
func outcomeOf(err error, took time.Duration) outcome {
	var unasked Unasked
	o := outcome{took: took, skipped: errors.As(err, &unasked)}
	if text, only := warningOf(err); only {
		o.warning = printable(text)
	} else if err != nil {
		o.failure = cmp.Or(printable(err.Error()), "an error without a text")
	}
	return o
}

// warningOf returns the warning in err, if err holds nothing but Warners. errors.As would also find one that is
// joined with a failure.
func warningOf(err error) (text string, only bool) {
	switch e := err.(type) {
	case Warner:
		return e.Warning(), true
	case interface{ Unwrap() error }:
		return warningOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []string
		for _, part := range e.Unwrap() {
			text, only := warningOf(part)
			if !only {
				return "", false
			}
			all = append(all, text)
		}
		return strings.Join(all, "; "), len(all) > 0
	}
	return "", false
}

// printable returns text as one printable line of at most maxText bytes.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
