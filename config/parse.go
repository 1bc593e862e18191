package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Every source gives text, and each type has one parser, so that 0777 means the same in a file, a variable and a
// secret. An error of a parser continues the value and its source ("must be ...") and never quotes the text.

// parsers has a row for every type a setting can have.
var parsers = map[reflect.Type]func(text string) (any, error){
	reflect.TypeFor[string]():        func(text string) (any, error) { return text, nil },
	reflect.TypeFor[bool]():          func(text string) (any, error) { return parseBool(text) },
	reflect.TypeFor[int]():           func(text string) (any, error) { return parseInt(text) },
	reflect.TypeFor[time.Duration](): func(text string) (any, error) { return parseDuration(text) },
	reflect.TypeFor[Bytes]():         func(text string) (any, error) { return parseBytes(text) },
	reflect.TypeFor[URL]():           func(text string) (any, error) { return ParseURL(text) },
}

// parse turns text into a value like the one given.
func parse(text string, like any) (any, error) {
	if err := plain(text, isSecret(like)); err != nil {
		return nil, err
	}
	return parsers[reflect.TypeOf(like)](text)
}

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

// decimal excludes what strconv or YAML would read in another base.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

var (
	errNotDecimal = errors.New("must be a whole decimal number: digits only, without leading zeros, 0x, _, e or +")
	errTooLarge   = errors.New("is too large a number")
)

func parseDecimal(text string) (int64, error) {
	if !decimal.MatchString(text) {
		return 0, errNotDecimal
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errTooLarge
	}
	return n, nil
}

func parseInt(text string) (int, error) {
	n, err := parseDecimal(text)
	if err == nil && int64(int(n)) != n {
		err = errTooLarge
	}
	return int(n), err
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errors.New("must be true or false")
	}
	return text == "true", nil
}

// parseDuration requires a unit, even for 0.
func parseDuration(text string) (time.Duration, error) {
	if decimal.MatchString(text) {
		return 0, errors.New("has no unit: write 5s, 500ms or 2m")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("must be a duration with units ns, us, ms, s, m or h, such as 5s or 1m30s")
	}
	return d, nil
}

// format returns the text that parse turns into value; of a URL, the masked text.
func format(value any) string {
	if d, is := value.(time.Duration); is {
		return formatDuration(d)
	}
	return fmt.Sprint(value)
}

// formatDuration is 1m where Duration says 1m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}

// isSecret goes by type, so that no list of secret keys can be incomplete.
func isSecret(value any) bool {
	_, secret := value.(interface{ Reveal() string })
	return secret
}
