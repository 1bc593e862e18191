package main

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"accountservice/config"
	"accountservice/tests/harness"
)

// secretVariables are the variables of all settings that hold a secret, which their types tell: those with Reveal. A
// dependency is named SICK.
func secretVariables() (names []string) {
	wordBegin := regexp.MustCompile(`([a-z])([A-Z])`)
	var walk func(of reflect.Type, name string)
	walk = func(of reflect.Type, name string) {
		if _, secret := reflect.Zero(of).Interface().(interface{ Reveal() string }); secret {
			names = append(names, name)
			return
		}
		switch of.Kind() {
		case reflect.Map:
			walk(of.Elem(), name+"_SICK")
		case reflect.Struct:
			for field := range of.Fields() {
				if !field.Anonymous {
					walk(field.Type, name+"_"+strings.ToUpper(wordBegin.ReplaceAllString(field.Name, "${1}_$2")))
				}
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "ACCOUNTSERVICE")
	return names
}

// secretSettings sets each of them, and returns the secrets by the names of their variables. The value is the first of
// some forms that the setting takes and that nothing shows.
func secretSettings(t *testing.T) (env []string, secrets map[string]string) {
	t.Helper()
	secrets = make(map[string]string)
	for i, name := range secretVariables() {
		secret := fmt.Sprintf("hunter2-%d-hunter2", i)
		for _, form := range []string{"%s", "https://127.0.0.1:1/%s", "postgres://user:%s@127.0.0.1:1/accounts"} {
			setting := name + "=" + fmt.Sprintf(form, secret)
			loaded, err := config.Load("", []string{setting})
			var shown bytes.Buffer
			if err == nil {
				harness.Must(t, loaded.Print(&shown, "yaml"))
			}
			if fmt.Fprintf(&shown, "%v %+v %#v %v", loaded, loaded, loaded, err); strings.Contains(shown.String(), secret) {
				continue
			}
			if err == nil {
				env, secrets[name] = append(env, setting), secret
				break
			}
		}
		if secrets[name] == "" {
			t.Errorf("%s takes a secret in none of these forms, or shows it", name)
		}
	}
	return env, secrets
}

func TestFaultOfASecretSettingRepeatsNothingOfIt(t *testing.T) {
	names := secretVariables()
	if len(names) < 2 {
		t.Fatalf("only %q hold secrets", names)
	}
	dependencyFaults := func(cfg config.Config) map[string]error { _, faults := dependencyChecks(cfg); return faults }
	for _, name := range names {
		for _, value := range []string{"{{hunter2", "hunter2 ", "hunter2\n", "http://a b:hunter2@host/", "http://user:hunter2@host:99999/",
			"http://user:12/hunter2@host/", "hunter2://", "http://host/#hunter2", "\"hunter2\"", "${hunter2}", "nothing://user:hunter2@host"} {
			_, err := config.Load("", []string{name + "=" + value, "ACCOUNTSERVICE_STORE_DRIVER=postgres"}, postgresFault, dependencyFaults)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
}
