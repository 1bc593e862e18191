package checks

import (
	"cmp"
	"strings"
	"time"

	"accountservice/internal/excerpt"
)

// maxText bounds an error or warning in bytes, because its text may come from another service and goes into each
// answer that a probe reads.
const maxText = 512

// Warner is the error of a run that passed with a warning, such as a certificate that ends soon. An error that wraps
// one is a failure.
type Warner interface {
	error
	Warning() string // one line for operators, without secrets
}

// Skipped is the error of a run that asked nothing and repeats the last error. It counts as a failure, and its time
// is not measured.
type Skipped interface {
	error
	Skipped()
}

type outcome struct {
	failure string // why it failed, as one printable line; empty if it passed
	warning string // of a run that passed, or empty
	took    time.Duration
}

// outcomeOf returns the outcome of a run that returned err. errors.As would also find a Warner beside a failure.
func outcomeOf(err error, took time.Duration) outcome {
	if warner, is := err.(Warner); is {
		return outcome{warning: printable(warner.Warning()), took: took}
	}
	if err != nil {
		var lines []string // errors.Join gives one to each error
		for line := range strings.Lines(err.Error()) {
			if line = printable(line); line != "" {
				lines = append(lines, line)
			}
		}
		return outcome{failure: cmp.Or(printable(strings.Join(lines, "; ")), "an error without a text"), took: took}
	}
	return outcome{took: took}
}

// printable returns text as one printable line of at most maxText bytes.
func printable(text string) string {
	return excerpt.Line(excerpt.Start(strings.ToValidUTF8(text, "\uFFFD"), maxText))
}
