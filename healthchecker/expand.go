package main

import (
	"fmt"
	"slices"
	"strings"
)

// expand replaces ${NAME} in arguments by the variable NAME of environ, because the exec form of HEALTHCHECK, which an
// image without a shell needs, does not. A variable that is not set or empty is an error that names it, and the flag
// that it stands in. The values, which expand returns too, are not expanded again.
func expand(given, environ []string) (args, values []string, err error) {
	args = slices.Clone(given)
	for i, arg := range args {
		before, rest, found := strings.Cut(arg, "${")
		for found {
			name, after, closed := strings.Cut(rest, "}")
			if !closed || name == "" || strings.ContainsFunc(name, notOfVariable) {
				return nil, nil, fmt.Errorf("%s: want a variable as ${NAME}", argumentName(given, i))
			}
			value := lookUp(environ, name)
			if value == "" {
				return nil, nil, fmt.Errorf("%s: the variable %s is not set, or empty", argumentName(given, i), name)
			}
			before += value
			values = append(values, value)
			var text string
			text, rest, found = strings.Cut(after, "${")
			before += text
		}
		args[i] = before
	}
	return args, values, nil
}

// argumentName is the flag that args[i] has or is the value of, else its number from 1. It repeats no other text of it.
func argumentName(args []string, i int) string {
	text, _, _ := strings.Cut(args[i], "=")
	if !strings.HasPrefix(text, "-") && i > 0 {
		text = args[i-1]
	}
	if name := strings.TrimLeft(text, "-"); slices.Contains(flagNames, name) {
		return "-" + name
	}
	return fmt.Sprintf("argument %d", i+1)
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
