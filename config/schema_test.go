package config

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestEveryRowOfTheTableIsComplete(t *testing.T) {
	s := newSchema()
	variables := map[string]bool{fileVariable: true, unknownVariable: true}
	for _, r := range s.rows {
		if !regexp.MustCompile(`^[a-z_]+(\.([a-z_]+|NAME))*$`).MatchString(r.key) || r.doc == "" {
			t.Errorf("%s: bad key or no doc", r.key)
		}
		if reflect.ValueOf(r.value).CanInt() && (r.min == "" || r.max == "" && r.below == "") {
			t.Errorf("%s: a number without a range", r.key)
		}
		if r.inherit != "" && s.byKey[r.inherit].inherit != "" {
			t.Errorf("%s: inherits from %s, which inherits too", r.key, r.inherit)
		}
		if _, ok := s.byKey[r.inherit]; r.inherit != "" && !ok {
			t.Errorf("%s: inherits from %s, which there is not", r.key, r.inherit)
		}
		text := format(r.value)
		if value, err := r.parse(text); r.inherit == "" && !(r.required && text == "") && (err != nil || format(value) != text) {
			t.Errorf("%s: the default %q gives %v, %v", r.key, text, value, err)
		}
		name := variable(r.key)
		if found, _, ok := s.ofVariable(name); !strings.Contains(name, "_NAME_") && (found.key != r.key || !ok) || variables[name] || variables[name+secretSuffix] {
			t.Errorf("%s: its variable %s is not its own", r.key, name)
		}
		variables[name], variables[name+secretSuffix] = true, true
	}
}

func TestNearestNames(t *testing.T) {
	s := newSchema()
	for name, want := range map[string]string{
		"http.prot": "http.port", "http.read_timout": "http.read_timeout", "log.levle": "log.level", "HTTP.PORT": "http.port",
		"cheks": "checks", "port": "http.port", "store.path": "", "banana": "", "url": "checks.dependencies.NAME.url", "timeout": "",
	} {
		if got := s.nearestKey(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestDocsHaveALineForEverySetting(t *testing.T) {
	var b bytes.Buffer
	if err := Docs(&b); err != nil {
		t.Fatal(err)
	}
	for _, r := range newSchema().rows {
		if strings.Count(b.String(), "| `"+r.key+"` | `"+variable(r.key)+"` | ") != 1 {
			t.Errorf("%s: got no line or two in:\n%s", r.key, b.String())
		}
	}
	for _, line := range []string{
		"| `http.port` | `ACCOUNTSERVICE_HTTP_PORT` | `6767` | between 1 and 65535 | TCP port |",
		"| `http.host` | `ACCOUNTSERVICE_HTTP_HOST` | empty |  | address to listen on; empty for all |",
		"| `checks.bolt.timeout` | `ACCOUNTSERVICE_CHECKS_BOLT_TIMEOUT` | as `checks.timeout` | between 10ms and 1h | as checks.timeout, for this check |",
		"| `checks.dependencies.NAME.url` | `ACCOUNTSERVICE_CHECKS_DEPENDENCIES_NAME_URL` | must be set | `http://`, `https://`, `tcp://`, `tls://`, `dns://`, `grpc://`, `grpcs://`, `postgres://`, `postgresql://`, `redis://`, `rediss://`, `amqp://`, `amqps://`, `nats://` |",
		"| `log.format` | `ACCOUNTSERVICE_LOG_FORMAT` | `auto` | `auto`, `json`, `text` |",
	} {
		if !strings.Contains(b.String(), "\n"+line) {
			t.Errorf("got no %s in:\n%s", line, b.String())
		}
	}
}
