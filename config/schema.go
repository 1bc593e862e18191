package config

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// schema is the table as names are looked up in it. In its keys, NAME stands
// for the name of any dependency.
type schema struct {
	rows     []row
	byKey    map[string]row
	renamed  map[string]string // old key to new
	keys     []string          // all that can be written, old ones too, longest first
	sections map[string]bool
}

func newSchema(rows []row, renamed map[string]string) schema {
	s := schema{rows: rows, byKey: map[string]row{}, renamed: renamed, sections: map[string]bool{"": true}}
	for _, r := range rows {
		s.byKey[r.key] = r
	}
	s.keys = slices.AppendSeq(slices.Collect(maps.Keys(s.byKey)), maps.Keys(renamed))
	slices.SortFunc(s.keys, longerFirst)
	for _, key := range s.keys {
		for section := parent(key); section != ""; section = parent(section) {
			s.sections[section] = true
		}
	}
	return s
}

func longerFirst(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}

// row finds the row of a key, under its old name too.
func (s schema) row(key string) (row, bool) {
	if now, old := s.renamed[key]; old {
		key = now
	}
	r, ok := s.byKey[key]
	return r, ok
}

// open says that the names in this section are the operator's own.
func (s schema) open(section string) bool { return s.sections[join(section, anyName)] }

// parent is the section a key is in; empty for the first level.
func parent(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '.'))]
}

func join(section, name string) string { return strings.TrimPrefix(section+"."+name, ".") }

// named puts a dependency's name, if there is one, into a key of the table.
func named(key, name string) string {
	if name == "" {
		return key
	}
	return strings.Replace(key, "."+anyName, "."+name, 1)
}

// variable is the name of the environment variable that sets a key.
func variable(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// capitals is a dependency's name in a variable. Other letters would make two
// variables of one dependency, and most shells can't set a variable with a "-".
var capitals = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_]*$`)

// ofVariable finds the key a variable sets and the dependency it is about.
// The longest option wins, and what is left before it is the name: so names may
// hold "_".
func (s schema) ofVariable(name string) (key, dependency string, ok bool) {
	for _, key := range s.keys {
		before, after, open := strings.Cut(variable(key), "_"+anyName+"_")
		if !open && name == before {
			return key, "", true
		}
		rest, isPrefix := strings.CutPrefix(name, before+"_")
		dependency, isSuffix := strings.CutSuffix(rest, "_"+after)
		if open && isPrefix && isSuffix && capitals.MatchString(dependency) {
			return key, strings.ToLower(dependency), true
		}
	}
	return "", "", false
}

// sectionOf is the section a variable names instead of a setting, or "".
func (s schema) sectionOf(name string) string {
	for section := range s.sections {
		if section != "" && variable(section) == name {
			return section
		}
	}
	return ""
}

// first is the first variable of a section, as an example.
func (s schema) first(section string) string {
	i := slices.IndexFunc(s.rows, func(r row) bool { return strings.HasPrefix(r.key, section+".") })
	return variable(s.rows[max(0, i)].key)
}

// dependencyVariable is how the variables of dependencies are written, if name
// starts like one. nameless: it has an option and no name before it.
func (s schema) dependencyVariable(name string) (shape string, nameless bool) {
	for _, key := range s.keys {
		before, after, open := strings.Cut(variable(key), "_"+anyName+"_")
		if open && strings.HasPrefix(name, before+"_") {
			shape = before + "_" + anyName + "_OPTION"
			nameless = nameless || strings.TrimSuffix(name, secretSuffix) == before+"_"+after
		}
	}
	return shape, nameless
}

// nearestKey is the key an unknown one was probably meant to be, or "".
// pattern is the unknown key as the table would have it.
func (s schema) nearestKey(pattern, dependency string) string {
	candidates := slices.AppendSeq(slices.Clone(s.keys), maps.Keys(s.sections))
	return named(nearest(pattern, candidates, "."), dependency)
}

// nearestVariable is the variable an unknown one was probably meant to be, or "".
func (s schema) nearestVariable(name string) string {
	base, isFile := strings.CutSuffix(name, secretSuffix)
	if base == fileVariable {
		return base
	}
	candidates := []string{fileVariable, unknownVariable}
	for _, key := range s.keys {
		before, after, open := strings.Cut(variable(key), "_"+anyName+"_")
		if !open {
			candidates = append(candidates, before)
			continue
		}
		for _, dependency := range heads(base, before+"_") {
			candidates = append(candidates, before+"_"+dependency+"_"+after)
		}
	}
	found := nearest(base, candidates, "_")
	if found != "" && isFile {
		found += secretSuffix
	}
	return found
}

// heads is what could be the dependency's name in a misspelt variable:
// of USERS_FAIL_AFTR both USERS and USERS_FAIL, and all of it.
func heads(name, prefix string) []string {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return nil
	}
	var heads []string
	for i, r := range rest + "_" {
		if r == '_' && capitals.MatchString(strings.ToUpper(rest[:i])) {
			heads = append(heads, strings.ToUpper(rest[:i]))
		}
	}
	return heads
}
