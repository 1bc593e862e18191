package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// These variables are about the configuration, and no settings.
const (
	fileVariable    = EnvPrefix + "CONFIG"
	unknownVariable = EnvPrefix + "CONFIG_UNKNOWN"
)

// secretSuffix makes a variable name a file that holds the value.
const secretSuffix = "_FILE"

// maxSecret is small because a secret is: a larger file is the wrong one.
const maxSecret = 64 << 10

// ours is the variables with our prefix. In lower case they are ours too, and
// then unknown: nobody else's start so.
func (l *loader) ours(environ []string) map[string]string {
	variables := map[string]string{}
	for _, entry := range environ {
		name, text, ok := strings.Cut(entry, "=")
		if !ok || len(name) < len(EnvPrefix) || !strings.EqualFold(name[:len(EnvPrefix)], EnvPrefix) {
			continue
		}
		if before, twice := variables[name]; twice && before != text {
			l.fault(name, show(name), "is in the environment twice, with two values: keep one")
		}
		variables[name] = text
	}
	return variables
}

// controls takes out the variables that are no settings: the file's path, and
// what unknown names are.
func (l *loader) controls(variables map[string]string) (file string) {
	file = variables[fileVariable]
	switch choice := variables[unknownVariable]; choice {
	case "", "error":
	case "warn":
		l.warnUnknown = true
	default:
		l.fault(unknownVariable, unknownVariable, show(choice)+" must be warn or error")
	}
	delete(variables, fileVariable)
	delete(variables, unknownVariable)
	return file
}

// readEnviron is the settings of the environment. A variable that is empty is
// as good as not set, but its name must be right: it will not stay empty.
func (l *loader) readEnviron(variables map[string]string) layer {
	settings := layer{}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		text := variables[name]
		pattern, dependency, known := l.schema.ofVariable(name)
		from := source{place: name}
		if base, isFile := strings.CutSuffix(name, secretSuffix); !known && isFile {
			pattern, dependency, known = l.schema.ofVariable(base)
			from.secret = known
		}
		if !known {
			l.unknown(name, show(name), l.unknownMessage(name))
			continue
		}
		if text == "" {
			continue
		}
		r, _ := l.schema.row(pattern)
		s := setting{row: r, pattern: pattern, dependency: dependency, text: text, source: from}
		if dependency != "" {
			l.declare(dependency, name)
		}
		if from.secret && !l.readSecret(&s, text) {
			continue
		}
		l.add(settings, s)
	}
	return settings
}

// readSecret puts the content of a secret file in place of its path. One line
// end is cut: editors and echo leave it there.
func (l *loader) readSecret(s *setting, path string) bool {
	s.source.place = fmt.Sprintf("%s, named by %s", oneLine(path), s.source.place)
	content, err := readBounded(path, maxSecret)
	s.text = strings.TrimSuffix(string(content), "\n")
	if err == nil && s.text == "" {
		err = errors.New("is empty")
	}
	if err != nil {
		l.badFault(s.key(), s.source.place, fmt.Sprintf("(secret file %s) %v", s.source.place, err))
	}
	return err == nil
}

func (l *loader) unknownMessage(name string) string {
	if section := l.schema.sectionOf(name); section != "" {
		return "names the section " + section + " and no setting: write the variable of a key in it, such as " + l.schema.first(section)
	}
	near := l.schema.nearestVariable(name)
	shape, nameless := l.schema.dependencyVariable(name)
	switch {
	case near != "" && !nameless:
		return "unknown variable, did you mean " + show(near) + "?"
	case shape != "":
		return "unknown variable: write " + shape + ", NAME in capitals, digits and _"
	}
	return "unknown variable: accountservice config docs lists all"
}
