package config

import (
	"reflect"
	"testing"
	"time"
)

// In each case Viper alone gives a wrong value without an error. Load gives the
// right value or an error.
func TestWhatViperGuessesIsRightOrAnError(t *testing.T) {
	const noNumber = "must be a whole decimal number: digits only, without leading zeros, 0x, _, e or +"
	for name, row := range map[string]struct {
		variable, text string
		set            func(*Config)
		fault          string
	}{
		"an empty variable":       {"HTTP_PORT", "", func(*Config) {}, ""},
		"a key without default":   {"HTTP_HOST", "::1", func(c *Config) { c.HTTP.Host = "::1" }, ""},
		"a boolean":               {"STORE_BOLT_ACCEPT_OLDER_META", "true", func(c *Config) { c.Store.Bolt.AcceptOlderMeta = true }, ""},
		"a duration":              {"HTTP_IDLE_TIMEOUT", "90s", func(c *Config) { c.HTTP.IdleTimeout = 90 * time.Second }, ""},
		"a number that is none":   {"HTTP_PORT", "67x67", nil, "http.port: 67x67 (from ACCOUNTSERVICE_HTTP_PORT) " + noNumber},
		"a boolean that is none":  {"STORE_BOLT_ACCEPT_OLDER_META", "yes", nil, "store.bolt.accept_older_meta: yes (from ACCOUNTSERVICE_STORE_BOLT_ACCEPT_OLDER_META) must be true or false"},
		"an octal port":           {"HTTP_PORT", "0777", nil, "http.port: 0777 (from ACCOUNTSERVICE_HTTP_PORT) " + noNumber},
		"a duration without unit": {"HTTP_IDLE_TIMEOUT", "5", nil, "http.idle_timeout: 5 (from ACCOUNTSERVICE_HTTP_IDLE_TIMEOUT) has no unit: write 5s, 500ms or 2m"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := Load("", []string{EnvPrefix + row.variable + "=" + row.text})
			if row.fault != "" {
				wantFaults(t, err, row.fault)
				return
			}
			want := load(t).Config
			row.set(&want)
			if err != nil || !reflect.DeepEqual(loaded.Config, want) {
				t.Errorf("got %+v, %v, want %+v", loaded.Config, err, want)
			}
		})
	}
}

// Viper would replace the whole section by the text.
func TestSectionAsVariableKeepsTheOtherSettings(t *testing.T) {
	loaded := load(t, "ACCOUNTSERVICE_HTTP=x", "ACCOUNTSERVICE_HTTP_PORT=7000", "ACCOUNTSERVICE_CONFIG_UNKNOWN=warn")
	want := load(t, "ACCOUNTSERVICE_HTTP_PORT=7000").Config
	if !reflect.DeepEqual(loaded.Config, want) || len(loaded.Warnings) != 1 {
		t.Errorf("got %+v, warnings %q", loaded.Config, loaded.Warnings)
	}
}
