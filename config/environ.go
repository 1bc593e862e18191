package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxSecret bounds a secret file: a larger file is the wrong one.
const maxSecret = 64 << 10

// injected matches what Kubernetes sets for a Service accountservice or accountservice-NAME, and Docker for a link of
// that name. The shape of the value tells it from a misspelt setting: ACCOUNTSERVICE_PORT=7000 does not match.
var injected = regexp.MustCompile(`(?s)^` + EnvPrefix + `(ENV_.*|([A-Z0-9_]+_)?(` +
	`NAME=/[^/]+/[^/]+|` +
	`SERVICE_HOST=[0-9a-f.:]+|SERVICE_PORT(_[A-Z0-9_]+)?=\d+|` +
	`PORT(_\d+_(TCP|UDP|SCTP)(_START|_END)?)?=(tcp|udp|sctp)://[0-9a-f.:[\]]+:\d+|` +
	`PORT_\d+_(TCP|UDP|SCTP)_(PROTO=(tcp|udp|sctp)|ADDR=[0-9a-f.:]+|PORT(_START|_END)?=\d+)))$`)

// ours returns the variables with our prefix that are not injected. A prefix in
// lower case counts too, so that such a variable is reported as unknown.
func (l *loader) ours(environ []string) map[string]string {
	variables := map[string]string{}
	for _, entry := range environ {
		name, text, ok := strings.Cut(entry, "=")
		bare := strings.TrimLeft(name, "\ufeff\"'")
		if !ok || len(bare) < len(EnvPrefix) || !strings.EqualFold(bare[:len(EnvPrefix)], EnvPrefix) ||
			injected.MatchString(entry) {
			continue
		}
		if bare != name {
			l.fault(name, "starts with a quote or a byte-order mark: remove it where the variable is set")
			continue
		}
		if before, twice := variables[name]; twice && before != text {
			l.fault(name, "is in the environment twice, with two values: keep one")
		}
		variables[name] = text
	}
	return variables
}

// controls removes the variables that are no settings. It returns the path of
// the file that they name and notes what an unknown name is.
func (l *loader) controls(variables map[string]string) (file string) {
	file = variables[fileVariable]
	switch choice := variables[unknownVariable]; choice {
	case "", "error":
	case "warn":
		l.warnUnknown = true
	default:
		l.fault(unknownVariable, "%s must be warn or error", show(choice))
	}
	delete(variables, fileVariable)
	delete(variables, unknownVariable)
	delete(variables, exposedVariable)
	delete(variables, TokenVariable)
	delete(variables, TokenVariable+FileSuffix)
	return file
}

// readEnviron returns the settings of the environment. An empty variable sets
// nothing, but its name must be right: it will not stay empty.
func (l *loader) readEnviron(variables map[string]string) layer {
	settings := layer{}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		text, from := variables[name], source{location: name}
		r, dependency, known := l.schema.ofVariable(name)
		if base, isFile := strings.CutSuffix(name, FileSuffix); !known && isFile {
			r, dependency, known = l.schema.ofVariable(base)
			from.secret = known
		}
		if !known {
			l.unknown(name, l.unknownMessage(name))
			continue
		}
		if text == "" {
			continue
		}
		s := setting{row: r, dependency: dependency, text: text, source: from}
		if dependency != "" {
			l.declared[dependency] = cmp.Or(l.declared[dependency], name)
		}
		if from.secret && !l.readSecret(&s) {
			continue
		}
		l.add(settings, s)
	}
	return settings
}

// readSecret replaces the path of a secret file, which is s.text, by the file's
// content. It cuts one line end: editors and echo leave it there.
func (l *loader) readSecret(s *setting) bool {
	content, err := readBounded(s.text, maxSecret)
	s.source.location = fmt.Sprintf("%s, named by %s", oneLine(s.text), s.source.location)
	s.text = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if err == nil && s.text == "" {
		err = errors.New("is empty")
	}
	if err != nil {
		l.badFault(s.key(), "(secret file %s) %v", s.source.location, err)
	}
	return err == nil
}

func (l *loader) unknownMessage(name string) string {
	if strings.HasPrefix(strings.ToUpper(name), variable(dependenciesKey)+"_") {
		return "unknown variable: write " + variable(dependenciesKey+"."+anyName) + "_OPTION, " +
			"NAME in capitals, digits and _; accountservice config docs lists the options"
	}
	if near := l.schema.nearestVariable(name); near != "" {
		return "unknown variable, did you mean " + near + "?"
	}
	return "unknown variable: accountservice config docs lists all"
}
