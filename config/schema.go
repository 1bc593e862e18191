package config

import (
	"regexp"
	"slices"
	"strings"
)

// These variables choose the configuration; they are no settings.
const (
	fileVariable    = EnvPrefix + "CONFIG"
	unknownVariable = EnvPrefix + "CONFIG_UNKNOWN"
)

// TokenVariable has the token of commands that talk to a service, and with FileSuffix the name of a file with it. It is
// no setting: the service takes none.
const TokenVariable = EnvPrefix + "TOKEN"

// exposedVariable names the port that the image exposes. Only the Dockerfile sets it.
const exposedVariable = EnvPrefix + "EXPOSED_PORT"

// FileSuffix ends a variable that names a file with the value.
const FileSuffix = "_FILE"

// schema finds settings by key and by variable. In its keys, NAME stands for the name of any dependency.
type schema struct {
	rows     []row // in the order of the structs
	byKey    map[string]row
	sections map[string]bool
}

func newSchema() schema {
	s := schema{rows: rowsOf(withDependencies(anyName)), byKey: map[string]row{}, sections: map[string]bool{}}
	for _, r := range s.rows {
		s.byKey[r.key] = r
		for section := parent(r.key); section != ""; section = parent(section) {
			s.sections[section] = true
		}
	}
	return s
}

// reservedNames returns the names that no dependency can have, sorted.
func (s schema) reservedNames() []string {
	names := slices.Clone(reservedChecks)
	for section := range s.sections {
		if parent(section) == "checks" && section != dependenciesKey {
			names = append(names, strings.TrimPrefix(section, "checks."))
		}
	}
	slices.Sort(names)
	return names
}

// parent returns the section of a key; empty for the first level.
func parent(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '.'))]
}

// named replaces NAME in a key by a dependency's name, if there is one.
func named(key, name string) string {
	if name == "" {
		return key
	}
	return strings.Replace(key, "."+anyName, "."+name, 1)
}

// variable returns the name of the environment variable that sets a key.
func variable(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// capitals is a dependency's name in a variable. Lower case would make two
// variables of one dependency, and most shells can't set a variable with a "-".
var capitals = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_]*$`)

// ofVariable returns the row that a variable sets and the dependency it is about. No option ends with "_" and the name
// of another, so what is before it is the dependency's name, which can hold "_".
func (s schema) ofVariable(name string) (r row, dependency string, ok bool) {
	for _, r := range s.rows {
		before, after, open := strings.Cut(variable(r.key), "_"+anyName+"_")
		if !open && name == before {
			return r, "", true
		}
		rest, isPrefix := strings.CutPrefix(name, before+"_")
		dependency, isSuffix := strings.CutSuffix(rest, "_"+after)
		if open && isPrefix && isSuffix && capitals.MatchString(dependency) {
			return r, strings.ToLower(dependency), true
		}
	}
	return row{}, "", false
}
