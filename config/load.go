package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Loaded is a configuration with no fault in it, and where its values came
// from. It holds no secret but in a URL, so it may be printed any way.
type Loaded struct {
	Config
	Warnings []string // unknown names that were let pass, names that are old
	Hidden   []string // keys of the file that the environment sets otherwise, and where both stand
	Notes    []string // what the caller wants Print to say of the machine; Load leaves it empty
	origins  map[string]source
}

// Load reads the file, then the environment over it, and checks the result.
// An empty file means the one that ACCOUNTSERVICE_CONFIG names, and if that is
// unset too, none. environ is as os.Environ gives it. The error is Faults, with
// every fault there is; Warnings are set with it too. Load opens the files it
// is told to read and nothing else, but for what the rules do.
func Load(file string, environ []string, rules ...Rule) (Loaded, error) {
	return newLoader(prototype(), renamedKeys).load(file, environ, rules...)
}

// Rule asks of a configuration what this package does not know: what is wrong
// with the value of a key, in words that go on after the value ("must be ...")
// and repeat nothing of it. What is faulty already has its zero value.
type Rule func(Config) map[string]error

// setting is one text that somebody wrote for one key.
type setting struct {
	row        row
	pattern    string // the key as written, which may be an old name
	dependency string // the name in its key, if there is one
	text       string
	source     source
}

func (s setting) key() string { return named(s.row.key, s.dependency) }

// subject starts a fault: the value, unless it may be secret, and its source.
func (s setting) subject() string {
	if s.source.secret || isSecret(s.row.value) {
		return "the value " + s.source.from()
	}
	return show(s.text) + " " + s.source.from()
}

// layer is what one source sets, by key.
type layer map[string]setting

// loader is one run of Load.
type loader struct {
	schema      schema
	warnUnknown bool
	warnings    []string
	faults      Faults
	bad         map[string]bool   // keys and sections with a fault of their own; "" if the file has one
	declared    map[string]string // the dependencies, and where each was seen first
	origins     map[string]source
}

func newLoader(c any, renamed map[string]string) *loader {
	return &loader{
		schema:   newSchema(rowsOf(c), renamed),
		bad:      map[string]bool{},
		declared: map[string]string{},
		origins:  map[string]source{},
	}
}

func (l *loader) load(file string, environ []string, rules ...Rule) (Loaded, error) {
	variables := l.ours(environ)
	control, namedBy := l.controls(variables), ""
	if file == "" {
		file, namedBy = control, fileVariable
	}
	fromFile := l.readFile(file, namedBy)
	fromEnviron := l.readEnviron(variables)
	l.checkNames()
	var c Config
	l.decode(fromFile, fromEnviron, &c)
	l.validate(c)
	for _, rule := range rules {
		l.ask(rule, c)
	}
	if len(l.faults) > 0 {
		return Loaded{Warnings: l.warnings}, l.faults.sorted()
	}
	return Loaded{Config: c, Warnings: l.warnings, Hidden: hidden(fromFile, fromEnviron), origins: l.origins}, nil
}

// hidden says which keys of the file have no effect: whoever edits it may not
// know what the image sets.
func hidden(file, environ layer) (said []string) {
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if over, both := environ[key]; both && over.text != file[key].text {
			said = append(said, fmt.Sprintf("%s (%s) is set otherwise by %s", key, file[key].source, over.source))
		}
	}
	return said
}

// ask notes what a rule finds, of values that have no fault yet.
func (l *loader) ask(rule Rule, c Config) {
	for key, err := range rule(c) {
		if from := l.origins[key]; !l.isBad(key) {
			l.fault(key, from.String(), "the value "+from.from()+" "+err.Error())
		}
	}
}

// add puts a setting into its layer, which can have only one for each key.
func (l *loader) add(to layer, s setting) {
	key := s.key()
	if before, twice := to[key]; twice {
		l.badFault(key, s.source.place, fmt.Sprintf("is set by both %s and %s: keep one", before.source.place, s.source.place))
		return
	}
	if s.pattern != s.row.key {
		old := named(s.pattern, s.dependency)
		l.warnings = append(l.warnings, fmt.Sprintf("%s (from %s) is now %s: the old name still works, but will go", old, s.source.place, key))
	}
	to[key] = s
}

// fault notes a fault. key may be any text; source and message are for show.
func (l *loader) fault(key, source, message string) {
	l.faults = append(l.faults, Fault{Key: show(key), Source: source, Message: message})
}

// badFault is a fault that leaves a key without its value, or a section without
// what may be in it.
func (l *loader) badFault(key, source, message string) {
	l.bad[key] = true
	l.fault(key, source, message)
}

// isBad says that the operator may have set this key, in what could not be
// read: no rule is asked about it, and it is not missed.
func (l *loader) isBad(key string) bool {
	for key != "" && !l.bad[key] {
		key = parent(key)
	}
	return l.bad[key]
}

// unknown is a fault, or a warning while a rollout has two versions running.
func (l *loader) unknown(name, source, message string) {
	if l.warnUnknown {
		l.warnings = append(l.warnings, show(name)+": "+message+" (ignored)")
		return
	}
	l.fault(name, source, message)
}

// declare notes a dependency that something is set for.
func (l *loader) declare(dependency, place string) {
	if l.declared[dependency] == "" {
		l.declared[dependency] = place
	}
}

// dependencyName is what can be a label, a key and, in capitals, a variable.
var dependencyName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// checkNames refuses the dependencies whose names can't be used, once each.
func (l *loader) checkNames() {
	seen := maps.Clone(l.declared)
	alike := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		variable := strings.ReplaceAll(strings.ToLower(name), "-", "_")
		other := alike[variable]
		alike[variable] = name
		message := ""
		switch {
		case other != "":
			message = fmt.Sprintf("can't be told from %s (%s) in a variable: names must differ in more than case, - and _", show(other), seen[other])
		case name != strings.ToLower(name):
			message = "must be in lower case"
		case !dependencyName.MatchString(name):
			message = "must be a name of at most 63 lower-case letters, digits, _ and -, and start with a letter or digit"
		case slices.Contains(takenNames, name):
			message = "is the name of a check of the service itself: choose another"
		default:
			continue
		}
		l.fault(join(dependenciesKey, name), seen[name], fmt.Sprintf("(%s) %s", seen[name], message))
		delete(l.declared, name)
	}
}

// expand is the table with one set of rows for each dependency there is.
func (l *loader) expand() []row {
	var rows []row
	names := slices.Sorted(maps.Keys(l.declared))
	for _, r := range l.schema.rows {
		if !strings.Contains(r.key, "."+anyName+".") {
			rows = append(rows, r)
			continue
		}
		for _, name := range names {
			r := r
			r.key = named(r.key, name)
			rows = append(rows, r)
		}
	}
	return rows
}

// decode lays file over defaults and environment over both, fills what is
// inherited, and puts the values into c. Viper sees only parsed values of known
// keys: of the rest it would guess, as facts.md says.
func (l *loader) decode(file, environ layer, c any) {
	rows := l.expand()
	v, fromFile := viper.New(), viper.New()
	for _, r := range rows {
		if r.inherit == "" {
			v.SetDefault(r.key, r.value)
		}
	}
	l.parseInto(fromFile.Set, file)
	if err := v.MergeConfigMap(fromFile.AllSettings()); err != nil {
		l.fault("config", "default", err.Error())
	}
	l.parseInto(v.Set, environ)
	for _, r := range rows {
		if r.inherit != "" && !v.IsSet(r.key) {
			v.SetDefault(r.key, v.Get(r.inherit))
			l.origins[r.key] = source{place: l.origins[r.inherit].place, secret: l.origins[r.inherit].secret, inherited: r.inherit}
		}
		l.checkRequired(r, v.Get(r.key))
	}
	exact := func(d *mapstructure.DecoderConfig) {
		d.TagName, d.WeaklyTypedInput, d.DecodeHook = "key", false, nil
	}
	if err := v.UnmarshalExact(c, exact); err != nil {
		l.fault("config", "default", err.Error())
	}
}

// parseInto gives the values of a layer to a Viper.
func (l *loader) parseInto(set func(key string, value any), from layer) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		s := from[key]
		if s.dependency != "" && l.declared[s.dependency] == "" {
			continue // its name has a fault already
		}
		value, err := s.row.parse(s.text)
		if err != nil {
			l.badFault(key, s.source.place, s.subject()+" "+err.Error())
			continue
		}
		set(key, value)
		l.origins[key] = s.source
	}
}

// checkRequired finds the settings that must be set and are not.
func (l *loader) checkRequired(r row, value any) {
	if !r.required || l.isBad(r.key) || r.check(value) == nil {
		return
	}
	place, because := "default", ""
	if declared := l.declared[strings.TrimPrefix(parent(r.key), dependenciesKey+".")]; declared != "" {
		place, because = declared, ", as "+declared+" names it"
	}
	l.fault(r.key, place, fmt.Sprintf("must be set%s: set %s, or %s in the file", because, variable(r.key), r.key))
}
