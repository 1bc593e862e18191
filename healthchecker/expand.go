package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// expand replaces ${NAME} in arguments by the variable NAME of environ, because the exec form of HEALTHCHECK, which an
// image without a shell needs, does not. A variable that is not set or empty is an error that names it. The values are
// not expanded again.
func expand(args, environ []string) ([]string, error) {
	args = slices.Clone(args)
	for i, arg := range args {
		before, rest, found := strings.Cut(arg, "${")
		for found {
			name, after, closed := strings.Cut(rest, "}")
			if !closed || name == "" || strings.ContainsFunc(name, notOfVariable) {
				return nil, errors.New("want a variable as ${NAME}")
			}
			value := lookUp(environ, name)
			if value == "" {
				return nil, fmt.Errorf("the variable %s is not set, or empty", name)
			}
			before += value
			var text string
			text, rest, found = strings.Cut(after, "${")
			before += text
		}
		args[i] = before
	}
	return args, nil
}

func notOfVariable(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// lookUp returns the value of a variable, "" if it is not set. Where it is set twice, the last one counts, as in Go.
func lookUp(environ []string, name string) (value string) {
	for _, entry := range environ {
		if rest, is := strings.CutPrefix(entry, name+"="); is {
			value = rest
		}
	}
	return value
}
