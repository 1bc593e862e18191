package config

import (
	"errors"
	"regexp"
	"strconv"
)

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
	return int(n), err // int has 64 bits wherever the service runs
}
