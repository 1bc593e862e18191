package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"accountservice/configs"
)

func TestEveryRowOfTheTableIsComplete(t *testing.T) {
	s := newSchema()
	means := meanings(configs.Sample)
	variables := map[string]bool{fileVariable: true, unknownVariable: true}
	for _, r := range s.rows {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]*(\.([a-z][a-z0-9_]*|NAME))*$`).MatchString(r.key) || r.inherit == "" && means[r.key] == "" {
			t.Errorf("%s: bad key, or no meaning in the sample file", r.key)
		}
		if reflect.ValueOf(r.value).CanInt() && (r.min == "" || r.max == "") {
			t.Errorf("%s: a number without a range", r.key)
		}
		if r.inherit != "" && s.byKey[r.inherit].inherit != "" {
			t.Errorf("%s: inherits from %s, which inherits too", r.key, r.inherit)
		}
		if _, ok := s.byKey[r.inherit]; r.inherit != "" && !ok {
			t.Errorf("%s: inherits from %s, which there is not", r.key, r.inherit)
		}
		text := format(r.byDefault())
		if value, err := r.parse(text); r.inherit == "" && !(r.required && text == "") && (err != nil || format(value) != text) {
			t.Errorf("%s: the default %q gives %v, %v", r.key, text, value, err)
		}
		name := variable(r.key)
		if found, _, ok := s.ofVariable(name); !strings.Contains(name, "_NAME_") && (found.key != r.key || !ok) || variables[name] || variables[name+FileSuffix] {
			t.Errorf("%s: its variable %s is not its own", r.key, name)
		}
		variables[name], variables[name+FileSuffix] = true, true
	}
}

func TestNearestNames(t *testing.T) {
	s := newSchema()
	for name, want := range map[string]string{
		"http.prot": "http.port", "http.read_timout": "http.read_timeout", "log.levle": "log.level", "HTTP.PORT": "http.port",
		"cheks": "checks", "port": "http.port", "store.path": "", "banana": "", "url": "", "max_cons": "", "store.postgres.max_cons": "store.postgres.max_conns", "timeout": "",
	} {
		if got := s.nearestKey(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
