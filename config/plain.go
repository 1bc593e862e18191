package config

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errTemplate = errors.New("holds {{, a Swarm template that was not expanded: expand it, or write the value itself")
	errQuoted   = errors.New("starts or ends with a quote, which docker run --env-file does not remove: remove it")
	errVariable = errors.New("holds a variable ($) that was not expanded: expand it, or write the value itself")

	wrapped    = regexp.MustCompile("^(\".*\"|'.*'|`.*`|“.*”)$")
	unexpanded = regexp.MustCompile(`\$[{(]|(^|[/:])\$\w`) // ${X}, $(X), $X; not a$b, which can name a file
)

// plain refuses a text that is wrong for every type. A password may hold a $ and
// end in a quote, so fewer texts are refused if secret.
func plain(text string, secret bool) error {
	switch {
	case !utf8.ValidString(text):
		return errors.New("is not valid UTF-8")
	case wrapped.MatchString(text), !secret && strings.Trim(text, "\"'`“”") != text:
		return errQuoted
	case !secret && unexpanded.MatchString(text):
		return errVariable
	case strings.Contains(text, "{{"):
		return errTemplate
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("holds a line break or another character that does not print: remove it")
	case strings.TrimSpace(text) != text:
		return errors.New("starts or ends with a space: remove it")
	}
	return nil
}
