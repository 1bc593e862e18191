package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Loaded is a configuration without faults, and where its values came from. It
// holds no secret but in a URL, so it can be printed any way.
type Loaded struct {
	Config
	Warnings []string // unknown names that were ignored
	Hidden   []string // keys of the file that the environment sets to another value, and where both stand
	Notes    []string // what the caller wants Print to say of the machine; Load leaves it empty
	origins  map[string]source
}

// Rule checks the values of a configuration against what this package does not know. It returns an error
// by key, whose text goes on after the value ("must be ...") and repeats nothing of it. A faulty value is zero already.
type Rule func(Config) map[string]error

// Load reads the file, then the environment over it, and checks the result. An empty file means the one that
// ACCOUNTSERVICE_CONFIG names, and if that is unset too, none. environ is as os.Environ gives it. The error is Faults,
// with every fault there is; Warnings are set with it too. Load opens only the files that it is told to read; a rule
// may open more.
func Load(file string, environ []string, rules ...Rule) (Loaded, error) {
	l := &loader{schema: newSchema(), bad: map[string]bool{}, declared: map[string]string{}, origins: map[string]source{}}
	variables := l.ours(environ)
	exposed := variables[exposedVariable]
	control, namedBy := l.controls(variables), ""
	if file == "" {
		file, namedBy = control, fileVariable
	}
	fromFile := l.readFile(file, namedBy)
	fromEnviron := l.readEnviron(variables)
	l.checkNames()
	c := l.decode(fromFile, fromEnviron)
	l.validate(c)
	for _, rule := range rules {
		for key, err := range rule(c) {
			if !l.isBad(key) {
				l.fault(key, "the value %s %v", l.origins[key].from(), err)
			}
		}
	}
	l.refuseLogins(c)
	l.warnOfPort(c.HTTP.Port, exposed)
	c.HTTP.Host, _ = listenHost(c.HTTP.Host)
	if len(l.faults) > 0 {
		slices.Sort(l.faults)
		return Loaded{Warnings: l.warnings}, l.faults
	}
	return Loaded{Config: c, Warnings: l.warnings, Hidden: hidden(fromFile, fromEnviron), origins: l.origins}, nil
}

// refuseLogins refuses the login of a URL in a text, because Print and the log show texts.
func (l *loader) refuseLogins(c Config) {
	for _, r := range rowsOf(c) {
		text, _ := r.value.(string)
		_, has := cutLogin(text)
		isKnown := func(fault string) bool { return strings.HasPrefix(fault, r.key+": ") }
		if has && !slices.ContainsFunc(l.faults, isKnown) {
			l.fault(r.key, "the value %s holds a URL with a user or a password (@), which would be shown: remove it",
				l.origins[r.key].from())
		}
	}
}

// warnOfPort warns of a port that is not the one that the image exposes. Without an image exposed is "". No check can
// find this, because checks and probe run inside the container.
func (l *loader) warnOfPort(port int, exposed string) {
	if exposed == "" {
		return
	}
	switch image, err := parseInt(exposed); {
	case err != nil || image < 1 || image > 65535:
		l.fault(exposedVariable, "%s must be the port that the image exposes, from 1 to 65535: set it as EXPOSE is, or remove it",
			show(exposed))
	case image != port && !l.isBad("http.port"):
		l.warnings = append(l.warnings, fmt.Sprintf("http.port: %d %s is not the port %d that the image exposes: nobody can "+
			"connect through a published port that leads to %[3]d; publish another port with that target instead, or change "+
			"the target to %[1]d", port, l.origins["http.port"].from(), image))
	}
}

// hidden returns the keys of the file that have no effect: who edits the file may not know what the image sets.
func hidden(file, environ layer) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if over, both := environ[key]; both && over.text != file[key].text {
			keys = append(keys, fmt.Sprintf("%s (%s) is set otherwise by %s", key, file[key].source, over.source))
		}
	}
	return keys
}

// dependencyName is what can be a label, a key and, in capitals, a variable.
var dependencyName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// checkNames refuses the dependencies whose names can't be used, once each.
func (l *loader) checkNames() {
	seen := maps.Clone(l.declared)
	alike := map[string]string{}
	reserved := l.schema.reservedNames()
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		variable := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		other := alike[variable]
		alike[variable] = name
		message := ""
		switch {
		case other != "":
			message = fmt.Sprintf("can't be told from %s (%s) in a variable: "+
				"names must differ in more than case, - and _", show(other), seen[other])
		case len(name) > 63 || !dependencyName.MatchString(name):
			message = "must be a name of at most 63 lower-case letters, digits, _ and -, " +
				"and start with a letter or digit"
		case slices.Contains(reserved, name):
			message = "is reserved for a check of the service itself: choose another"
		default:
			continue
		}
		l.fault(join(dependenciesKey, name), "(%s) %s", seen[name], message)
		delete(l.declared, name)
	}
}
