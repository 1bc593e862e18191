package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// row is one setting: its name, its value and what the tags say about it.
type row struct {
	key      string
	value    any    // in force, in rowsOf a loaded Config
	initial  string // the text of its default; "" for zero
	min, max string
	oneof    []string
	required bool
	inherit  string // the key whose value it takes when it is not set, or ""
}

// rowsOf returns every setting of c, in the order of the structs, names sorted.
func rowsOf(c Config) []row {
	return appendRows(nil, "", reflect.ValueOf(c), "")
}

// appendRows adds the rows of one struct. outer are the tags of the field that embeds it.
func appendRows(rows []row, section string, v reflect.Value, outer reflect.StructTag) []row {
	for field, value := range v.Fields() {
		name := keyOf(field.Name)
		key := join(section, name)
		switch {
		case field.Anonymous:
			rows = appendRows(rows, section, value, field.Tag)
		case value.Kind() == reflect.Map:
			for _, name := range slices.SortedFunc(slices.Values(value.MapKeys()), byName) {
				rows = appendRows(rows, key+"."+name.String(), value.MapIndex(name), "")
			}
		case value.Kind() == reflect.Struct && parsers[value.Type()] == nil: // a section
			rows = appendRows(rows, key, value, "")
		default:
			r := row{key: key, value: value.Interface(), min: field.Tag.Get("min"), max: field.Tag.Get("max"),
				oneof:    strings.Fields(cmp.Or(outer.Get(name), field.Tag.Get("oneof"))),
				required: field.Tag.Get("required") == "true"}
			r.initial = cmp.Or(field.Tag.Get("default"), append(r.oneof, "")[0])
			if from := outer.Get("inherit"); from != "" {
				r.inherit = join(from, name)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

var wordBegin = regexp.MustCompile(`([a-z])([A-Z])`)

// keyOf is the key of a field in its section: stop_grace_period of StopGracePeriod, url of URL.
func keyOf(field string) string { return strings.ToLower(wordBegin.ReplaceAllString(field, "${1}_$2")) }

func join(section, name string) string { return strings.TrimPrefix(section+"."+name, ".") }

func byName(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }

// parse turns text into a value that the tags allow.
func (r row) parse(text string) (any, error) {
	value, err := parse(text, r.value)
	if err != nil {
		return nil, err
	}
	return value, r.check(value)
}

// check returns an error if the tags do not allow a value.
func (r row) check(value any) error {
	switch {
	case r.required && reflect.ValueOf(value).IsZero():
		return errors.New("must not be empty")
	case r.outside(value):
		return errors.New("must be " + r.span())
	case len(r.oneof) > 0 && !slices.Contains(r.oneof, value.(string)):
		return errors.New("must be " + words(r.oneof))
	}
	return nil
}

func (r row) outside(value any) bool {
	v := reflect.ValueOf(value)
	if !v.CanInt() {
		return false
	}
	return r.min != "" && v.Int() < r.read(r.min).Int() || r.max != "" && v.Int() > r.read(r.max).Int()
}

// read reads a tag with the parser of the setting: defaults and bounds carry units too.
func (r row) read(tag string) reflect.Value {
	if tag == "" {
		return reflect.Zero(reflect.TypeOf(r.value))
	}
	value, err := parse(tag, r.value)
	if err != nil {
		panic(fmt.Sprintf("config: a tag of %s %v", r.key, err)) // a tag is code: any test finds it
	}
	return reflect.ValueOf(value)
}

// byDefault is the value of a setting that is not set and inherits none.
func (r row) byDefault() any { return r.read(r.initial).Interface() }

// span is the range of a number, for a sentence and for the table.
func (r row) span() string {
	if r.min == "" {
		return ""
	}
	return "between " + r.min + " and " + r.max
}
