package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
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
	reflect.TypeFor[URL]():           func(text string) (any, error) { return parseURL(text) },
	reflect.TypeFor[Secret]():        func(text string) (any, error) { return parseSecret(text), nil },
	reflect.TypeFor[SecretURL]():     func(text string) (any, error) { return parseSecretURL(text) },
	reflect.TypeFor[Names]():         func(text string) (any, error) { return parseNames(text) },
}

// parse turns text into a value like the one given.
func parse(text string, like any) (any, error) {
	if err := plain(text, isSecret(like)); err != nil {
		return nil, err
	}
	return parsers[reflect.TypeOf(like)](text)
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

// format returns the text that parse turns into value, 1m where a Duration says 1m0s; of a URL, the masked text.
func format(value any) string {
	text := fmt.Sprint(value)
	if _, is := value.(time.Duration); !is {
		return text
	}
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
