package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// row is one setting: its name, its value and what the tags say about it.
type row struct {
	key   string
	value any // the default in the table, the value in force in rowsOf a loaded Config

	min, max, below string
	oneof, scheme   []string
	required        bool
	inherit, doc    string
}

// rowsOf returns every setting of c, in the order of the structs, names sorted.
func rowsOf(c Config) []row {
	return appendRows(nil, "", reflect.ValueOf(c), "")
}

// appendRows adds the rows of one struct. outer are the tags of the field that
// embeds it: on_failure:"a b" there narrows the words of on_failure in here.
func appendRows(rows []row, section string, v reflect.Value, outer reflect.StructTag) []row {
	for field, value := range v.Fields() {
		name, option, _ := strings.Cut(field.Tag.Get("key"), ",")
		key := join(section, name)
		switch {
		case option == "squash":
			rows = appendRows(rows, section, value, field.Tag)
		case value.Kind() == reflect.Map:
			for _, name := range slices.SortedFunc(slices.Values(value.MapKeys()), byName) {
				rows = appendRows(rows, key+"."+name.String(), value.MapIndex(name), "")
			}
		case isSection(value.Type()):
			rows = appendRows(rows, key, value, "")
		default:
			rows = append(rows, newRow(key, value.Interface(), field.Tag, outer.Get(name)))
		}
	}
	return rows
}

func join(section, name string) string { return strings.TrimPrefix(section+"."+name, ".") }

func byName(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }

// isSection is true for a struct that holds settings and is none itself.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && parsers[t] == nil
}

func newRow(key string, value any, tag reflect.StructTag, oneof string) row {
	if oneof == "" {
		oneof = tag.Get("oneof")
	}
	return row{
		key:      key,
		value:    value,
		min:      tag.Get("min"),
		max:      tag.Get("max"),
		below:    tag.Get("below"),
		oneof:    strings.Fields(oneof),
		scheme:   strings.Fields(tag.Get("scheme")),
		required: tag.Get("required") == "true",
		inherit:  tag.Get("inherit"),
		doc:      cmp.Or(tag.Get("doc"), "as "+tag.Get("inherit")+", for this check"),
	}
}

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
	switch u, isURL := value.(URL); {
	case r.required && reflect.ValueOf(value).IsZero():
		return errors.New("must not be empty")
	case r.outside(value):
		return errors.New("must be " + r.span())
	case len(r.oneof) > 0 && !slices.Contains(r.oneof, value.(string)):
		return errors.New("must be " + words(r.oneof))
	case isURL && !slices.Contains(r.scheme, u.scheme()):
		return errors.New("must start with " + words(r.schemes()))
	}
	return nil
}

func (r row) outside(value any) bool {
	v := reflect.ValueOf(value)
	if !v.CanInt() {
		return false
	}
	n := v.Int()
	return r.min != "" && n < r.limit(r.min) ||
		r.max != "" && n > r.limit(r.max) ||
		r.below != "" && n >= r.limit(r.below)
}

// limit reads a tag with the parser of the setting: its bounds carry units too.
func (r row) limit(tag string) int64 {
	value, err := parse(tag, r.value)
	if err != nil {
		panic(fmt.Sprintf("config: a tag of %s %v", r.key, err)) // a tag is code: any test finds it
	}
	return reflect.ValueOf(value).Int()
}

// span is the range of a number, for a sentence and for the table.
func (r row) span() string {
	switch {
	case r.below != "":
		return "at least " + r.min + " and below " + r.below
	case r.max != "":
		return "between " + r.min + " and " + r.max
	case r.min != "":
		return "at least " + r.min
	}
	return ""
}

// schemes returns how the URLs of this setting may start.
func (r row) schemes() []string {
	var starts []string
	for _, scheme := range r.scheme {
		starts = append(starts, scheme+"://")
	}
	return starts
}
