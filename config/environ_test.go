package config

import (
	"strings"
	"testing"
)

// Every row is what an operator might set and every line of the answer.
// Variables are without their prefix.
func TestFaultsOfTheEnvironment(t *testing.T) {
	const template = "holds {{, a Swarm template that was not expanded: expand it, or write the value itself"
	const decimalWant = "must be a whole decimal number: digits only, without leading zeros, 0x, _, e or +"
	const durationWant = "must be a duration with units ns, us, ms, s, m or h, such as 5s or 1m30s"
	const dep = "CHECKS_DEPENDENCIES_"
	const option = "unknown variable: write ACCOUNTSERVICE_CHECKS_DEPENDENCIES_NAME_OPTION, NAME in capitals, digits and _; accountservice config docs lists the options"
	for name, row := range map[string]struct{ environ, want []string }{
		"a misspelt variable": {
			[]string{"HTTP_PROT=1"},
			[]string{"ACCOUNTSERVICE_HTTP_PROT: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT?"},
		},
		"a misspelt variable that is empty": {
			[]string{"HTTP_PROT="},
			[]string{"ACCOUNTSERVICE_HTTP_PROT: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT?"},
		},
		"a misspelt secret":           {[]string{"HTTP_PROT_FILE=/x"}, []string{"ACCOUNTSERVICE_HTTP_PROT_FILE: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT_FILE?"}},
		"a variable without section":  {[]string{"PORT=1"}, []string{"ACCOUNTSERVICE_PORT: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT?"}},
		"a variable in lower case":    {[]string{"http_port=1"}, []string{"ACCOUNTSERVICE_http_port: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT?"}},
		"a variable like no other":    {[]string{"BANANA=1"}, []string{"ACCOUNTSERVICE_BANANA: unknown variable: accountservice config docs lists all"}},
		"the usual name of the file":  {[]string{"CONFIG_FILE=x"}, []string{"ACCOUNTSERVICE_CONFIG_FILE: unknown variable, did you mean ACCOUNTSERVICE_CONFIG?"}},
		"what unknown names are":      {[]string{"CONFIG_UNKNOWN=ignore"}, []string{"ACCOUNTSERVICE_CONFIG_UNKNOWN: ignore must be warn or error"}},
		"a very long name":            {[]string{strings.Repeat("A_", 5000) + "=1"}, []string{"ACCOUNTSERVICE_" + strings.Repeat("A_", 92) + "A...: unknown variable: accountservice config docs lists all"}},
		"a name with a line break":    {[]string{"A\nhttp.port: fine=1"}, []string{`"ACCOUNTSERVICE_A\nhttp.port: fine": unknown variable: accountservice config docs lists all`}},
		"the same variable twice":     {[]string{"HTTP_PORT=1", "HTTP_PORT=2"}, []string{"ACCOUNTSERVICE_HTTP_PORT: is in the environment twice, with two values: keep one"}},
		"a section":                   {[]string{"HTTP=x"}, []string{"ACCOUNTSERVICE_HTTP: unknown variable: accountservice config docs lists all"}},
		"a section in a section":      {[]string{"CHECKS_BOLT=x"}, []string{"ACCOUNTSERVICE_CHECKS_BOLT: unknown variable: accountservice config docs lists all"}},
		"an octal number":             {[]string{"STORE_SEED=0777"}, []string{"store.seed: 0777 (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant}},
		"a hexadecimal number":        {[]string{"STORE_SEED=0x1F"}, []string{"store.seed: 0x1F (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant}},
		"a number with _":             {[]string{"STORE_SEED=1_000"}, []string{"store.seed: 1_000 (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant}},
		"a number with an exponent":   {[]string{"STORE_SEED=1e3"}, []string{"store.seed: 1e3 (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant}},
		"a boolean that is none":      {[]string{"STORE_BOLT_ACCEPT_OLDER_META=yes"}, []string{"store.bolt.accept_older_meta: yes (from ACCOUNTSERVICE_STORE_BOLT_ACCEPT_OLDER_META) must be true or false"}},
		"a fraction":                  {[]string{"STORE_SEED=1.5"}, []string{"store.seed: 1.5 (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant}},
		"a number out of range":       {[]string{"HTTP_PORT=65536"}, []string{"http.port: 65536 (from ACCOUNTSERVICE_HTTP_PORT) must be between 1 and 65535"}},
		"a negative number":           {[]string{"STORE_SEED=-1"}, []string{"store.seed: -1 (from ACCOUNTSERVICE_STORE_SEED) must be between 0 and 1000000"}},
		"an absurd number":            {[]string{"STORE_SEED=99999999999999999999"}, []string{"store.seed: 99999999999999999999 (from ACCOUNTSERVICE_STORE_SEED) is too large a number"}},
		"a duration without unit":     {[]string{"CHECKS_TIMEOUT=5"}, []string{"checks.timeout: 5 (from ACCOUNTSERVICE_CHECKS_TIMEOUT) has no unit: write 5s, 500ms or 2m"}},
		"zero without unit":           {[]string{"HTTP_DRAIN_DELAY=0"}, []string{"http.drain_delay: 0 (from ACCOUNTSERVICE_HTTP_DRAIN_DELAY) has no unit: write 5s, 500ms or 2m"}},
		"a negative duration":         {[]string{"HTTP_DRAIN_DELAY=-5s"}, []string{"http.drain_delay: -5s (from ACCOUNTSERVICE_HTTP_DRAIN_DELAY) must be between 0s and 58s"}},
		"a zero duration":             {[]string{"CHECKS_INTERVAL=0s"}, []string{"checks.interval: 0s (from ACCOUNTSERVICE_CHECKS_INTERVAL) must be between 100ms and 1h"}},
		"a zero that would inherit":   {[]string{"CHECKS_BOLT_INTERVAL=0s"}, []string{"checks.bolt.interval: 0s (from ACCOUNTSERVICE_CHECKS_BOLT_INTERVAL) must be between 100ms and 1h"}},
		"an absurd duration":          {[]string{"CHECKS_INTERVAL=9999h"}, []string{"checks.interval: 9999h (from ACCOUNTSERVICE_CHECKS_INTERVAL) must be between 100ms and 1h"}},
		"a duration beyond int64":     {[]string{"CHECKS_INTERVAL=99999999999h"}, []string{"checks.interval: 99999999999h (from ACCOUNTSERVICE_CHECKS_INTERVAL) " + durationWant}},
		"a duration in days":          {[]string{"CHECKS_INTERVAL=1d"}, []string{"checks.interval: 1d (from ACCOUNTSERVICE_CHECKS_INTERVAL) " + durationWant}},
		"a grace of 58s":              {[]string{"HTTP_STOP_GRACE_PERIOD=58s"}, []string{"http.stop_grace_period: 58s (from ACCOUNTSERVICE_HTTP_STOP_GRACE_PERIOD) must be between 1s and 57s"}},
		"a size in megabytes":         {[]string{"HTTP_MAX_BODY=1MB"}, []string{"http.max_body: 1MB (from ACCOUNTSERVICE_HTTP_MAX_BODY) must be a size: a decimal number of bytes without leading zeros, 0x, _ or e, or of KiB, MiB, GiB, TiB or PiB, such as 64MiB"}},
		"a size beyond int64":         {[]string{"HTTP_MAX_BODY=9999PiB"}, []string{"http.max_body: 9999PiB (from ACCOUNTSERVICE_HTTP_MAX_BODY) is too large a number"}},
		"a size out of range":         {[]string{"HTTP_MAX_BODY=65MiB"}, []string{"http.max_body: 65MiB (from ACCOUNTSERVICE_HTTP_MAX_BODY) must be between 1KiB and 64MiB"}},
		"a word in another case":      {[]string{"LOG_LEVEL=INFO"}, []string{"log.level: INFO (from ACCOUNTSERVICE_LOG_LEVEL) must be debug, info, warn or error"}},
		"a Swarm template":            {[]string{"HTTP_HOST={{.Node.Hostname}}"}, []string{"http.host: {{.Node.Hostname}} (from ACCOUNTSERVICE_HTTP_HOST) " + template}},
		"a template in a secret type": {[]string{dep + "A_URL=http://u:{{.P}}@a/"}, []string{"checks.dependencies.a.url: the value (from ACCOUNTSERVICE_CHECKS_DEPENDENCIES_A_URL) " + template}},
		"invalid UTF-8":               {[]string{"HTTP_HOST=\xff"}, []string{`http.host: "\xff" (from ACCOUNTSERVICE_HTTP_HOST) is not valid UTF-8`}},
		"a space at the end":          {[]string{"HTTP_HOST=a "}, []string{`http.host: "a " (from ACCOUNTSERVICE_HTTP_HOST) starts or ends with a space: remove it`}},
		"a line break":                {[]string{"HTTP_HOST=a\nb"}, []string{`http.host: "a\nb" (from ACCOUNTSERVICE_HTTP_HOST) holds a line break or another character that does not print: remove it`}},
		"a no-break space":            {[]string{"HTTP_HOST=a\u00a0b"}, []string{`http.host: "a\u00a0b" (from ACCOUNTSERVICE_HTTP_HOST) holds a line break or another character that does not print: remove it`}},
		"a dependency without URL": {
			[]string{dep + "USERS_TIMEOUT=500ms"},
			[]string{"checks.dependencies.users.url: must be set, as ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_TIMEOUT names it: set ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL, or checks.dependencies.users.url in the file"},
		},
		"empty variables":             {[]string{dep + "USERS_URL=", "HTTP_PORT="}, nil},
		"a dependency and no option":  {[]string{dep + "USERS=x"}, []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS: " + option}},
		"a misspelt option":           {[]string{dep + "USERS_FAIL_AFTR=3"}, []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_FAIL_AFTR: " + option}},
		"an option and no dependency": {[]string{dep + "PASS_AFTER=3"}, []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_PASS_AFTER: " + option}},
		"a dependency in lower case": {
			[]string{dep + "USERS_URL=http://a/", dep + "users_URL=http://b/"},
			[]string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_users_URL: " + option},
		},
		"a dependency with a -":         {[]string{dep + "USER-API-V2_URL=http://a/"}, []string{"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USER-API-V2_URL: " + option}},
		"a dependency with a long name": {[]string{dep + strings.Repeat("A", 64) + "_URL=http://a/"}, []string{"checks.dependencies." + strings.Repeat("a", 64) + ": (ACCOUNTSERVICE_CHECKS_DEPENDENCIES_" + strings.Repeat("A", 64) + "_URL) must be a name of at most 63 lower-case letters, digits, _ and -, and start with a letter or digit"}},
		"a taken name": {
			[]string{dep + "BOLT_URL=http://a/", dep + "BOLT_TIMEOUT=x"},
			[]string{"checks.dependencies.bolt: (ACCOUNTSERVICE_CHECKS_DEPENDENCIES_BOLT_TIMEOUT) is reserved for a check of the service itself: choose another"},
		},
		"a dependency that restarts": {[]string{dep + "A_URL=http://a/", dep + "A_ON_FAILURE=restart"}, []string{"checks.dependencies.a.on_failure: restart (from ACCOUNTSERVICE_CHECKS_DEPENDENCIES_A_ON_FAILURE) must be unroute or degrade"}},
		"a URL where none belongs":   {[]string{"LOG_LEVEL=http://u:hunter2@a/"}, []string{"log.level: http://xxxxx (from ACCOUNTSERVICE_LOG_LEVEL) must be debug, info, warn or error"}},
		"a value that is none breaks no rule": {
			[]string{"CHECKS_INTERVAL=x", "CHECKS_TIMEOUT=9s", "CHECKS_BOLT_TIMEOUT=3s"},
			[]string{"checks.interval: x (from ACCOUNTSERVICE_CHECKS_INTERVAL) " + durationWant},
		},
		"three bad values": {
			[]string{"STORE_SEED=x", "LOG_FORMAT=xml", "HTTP_PORT=0"},
			[]string{
				"http.port: 0 (from ACCOUNTSERVICE_HTTP_PORT) must be between 1 and 65535",
				"log.format: xml (from ACCOUNTSERVICE_LOG_FORMAT) must be auto, json or text",
				"store.seed: x (from ACCOUNTSERVICE_STORE_SEED) " + decimalWant,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var environ []string
			for _, entry := range row.environ {
				environ = append(environ, EnvPrefix+entry)
			}
			_, err := Load("", environ)
			wantFaults(t, err, row.want...)
		})
	}
}
