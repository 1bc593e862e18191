package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// decode lays the file over the defaults and the environment over both, fills what is inherited, and returns the
// values. Viper gets only parsed values of known keys: it would guess at anything else.
func (l *loader) decode(file, environ layer) Config {
	rows := rowsOf(withDependencies(slices.Collect(maps.Keys(l.declared))...))
	v := viper.New()
	for _, r := range rows {
		if r.inherit == "" {
			v.SetDefault(r.key, r.byDefault())
		}
	}
	l.parseInto(v, file)
	l.parseInto(v, environ)
	for _, r := range rows {
		if r.inherit != "" && !v.IsSet(r.key) {
			v.SetDefault(r.key, v.Get(r.inherit))
			from := l.origins[r.inherit]
			from.inherited = r.inherit
			l.origins[r.key] = from
		}
		l.checkRequired(r, v.Get(r.key))
	}
	exact := func(d *mapstructure.DecoderConfig) {
		d.Squash, d.WeaklyTypedInput, d.DecodeHook = true, false, nil
		d.MatchName = func(key, field string) bool { return key == keyOf(field) }
	}
	var c Config
	if err := v.UnmarshalExact(&c, exact); err != nil {
		l.fault("config", "%v", err)
	}
	return c
}

func (l *loader) parseInto(v *viper.Viper, from layer) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		s := from[key]
		if s.dependency != "" && l.declared[s.dependency] == "" {
			continue // its name has a fault already
		}
		value, err := s.row.parse(s.text)
		if err != nil {
			l.badFault(key, "%s %v", s.subject(), err)
			continue
		}
		v.Set(key, value)
		l.origins[key] = s.source
	}
}

// checkRequired notes a setting that must be set and is not.
func (l *loader) checkRequired(r row, value any) {
	if !r.required || l.isBad(r.key) || r.check(value) == nil {
		return
	}
	because := ""
	if at := l.declared[strings.TrimPrefix(parent(r.key), dependenciesKey+".")]; at != "" {
		because = ", as " + at + " names it"
	}
	l.fault(r.key, "must be set%s: set %s, or %s in the file", because, variable(r.key), r.key)
}
