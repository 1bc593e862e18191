package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"accountservice/tests/harness"
)

func TestCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct {
		args    []string
		environ []string
		code    int
		stdout  string
		stderr  string
	}{
		"help":              {[]string{"--help"}, nil, 0, "accountservice config docs", ""},
		"version":           {[]string{"--version"}, nil, 0, "dev", ""},
		"unknown flag":      {[]string{"--prot=1"}, nil, 2, "", "unknown flag: --prot"},
		"unknown command":   {[]string{"server"}, nil, 2, "", `"server"`},
		"version command":   {[]string{"version"}, nil, 0, "accountservice version dev", ""},
		"mistyped command":  {[]string{"verison"}, nil, 2, "", `unknown command "verison", did you mean version?`},
		"mistyped in group": {[]string{"config", "chekc"}, nil, 2, "", `unknown command "chekc", did you mean check?`},
		"mistyped order":    {[]string{"maintenance", "onn"}, nil, 2, "", `accountservice maintenance: unknown command "onn", did you mean`},
		"other shell":       {[]string{"completion", "bsh"}, nil, 2, "", `unknown command "bsh", did you mean bash`},
		"shells":            {[]string{"completion"}, nil, 0, "zsh", ""},
		"help of a command": {[]string{"help", "config", "check"}, nil, 0, "--ask", ""},
		"help of a typo":    {[]string{"help", "config", "chekc"}, nil, 2, "", `unknown command "chekc", did you mean check?`},
		"licences":          {[]string{"licenses"}, nil, 0, "Copyright (c) 2026 the accountservice authors", ""},
		"others' licences":  {[]string{"licenses"}, nil, 0, "github.com/hellofresh/health-go/v5 v", ""},
		"missing file":      {[]string{"--config", "none.yaml"}, nil, 2, "", "none.yaml"},
		"check":             {[]string{"config", "check"}, nil, 0, "configuration is valid", ""},
		"check of a typo":   {[]string{"config", "check"}, []string{"ACCOUNTSERVICE_HTTP_PROT=1"}, 2, "", "ACCOUNTSERVICE_HTTP_PORT"},
		"check of others":   {[]string{"config", "check"}, []string{"PATH=/bin", "HTTP_PORT=1"}, 0, "valid", ""},
		"print":             {[]string{"config", "print"}, []string{"ACCOUNTSERVICE_HTTP_PORT=7000"}, 0, "7000", ""},
		"print as JSON":     {[]string{"config", "print", "--format", "json"}, nil, 0, "6767", ""},
		"print of memory":   {[]string{"config", "print", "--format", "env"}, nil, 0, "# memory limit of the Go runtime: ", ""},
		"print as XML":      {[]string{"config", "print", "--format", "xml"}, nil, 2, "", "xml"},
		"docs":              {[]string{"config", "docs"}, nil, 0, "ACCOUNTSERVICE_HTTP_PORT", ""},
		"shell completion":  {[]string{"completion", "bash"}, nil, 0, "accountservice", ""},
	} {
		t.Run(name, func(t *testing.T) { here(t, c.environ, c.args...).is(t, c.code, c.stdout, c.stderr) })
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("files were made: %v, %v", left, err)
	}
}

func TestDevNullIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	harness.Must(t, err)
	defer null.Close()
	if isTerminal(null) {
		t.Error("a character device is taken for a terminal: a log to it would be text, and a meter run")
	}
}

func TestConfigCheckAsksEachDependencyOnce(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/well" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	const prefix = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_"
	well := []string{prefix + "USERS_URL=" + server.URL + "/well"}
	ill := append(well, prefix+"RATES_URL="+strings.Replace(server.URL, "://", "://u:hunter2@", 1)+"/ill")
	for _, c := range []struct {
		args, environ []string
		code, asked   int
		want          string
	}{
		{[]string{"config", "check"}, ill, exitOK, 0, `^configuration is valid\n$`},
		{[]string{"config", "check", "--ask"}, well, exitOK, 1, `^configuration is valid\nusers  ok  \d+ ms +\n$`},
		{[]string{"config", "check", "--ask"}, nil, exitOK, 0, `^configuration is valid\nno dependency is declared in checks.dependencies\n$`},
		{[]string{"config", "check", "--ask"}, ill, exitFailed, 2,
			`^configuration is valid\nrates  failing  \d+ ms  answer: it answers 503 Service Unavailable\nusers  ok +\d+ ms +\n$`},
		{[]string{"config", "check", "--ask"}, []string{prefix + "USERS_URL=gopher://a"}, exitUsage, 0, `^$`},
	} {
		asked.Store(0)
		r := here(t, c.environ, c.args...)
		if r.Code != c.code || int(asked.Load()) != c.asked || !regexp.MustCompile(c.want).MatchString(r.Stdout) {
			t.Errorf("%v: asked %d times, %+v", c.args, asked.Load(), r)
		}
	}
}

func TestConfigCheckSaysEveryFaultOfEveryDependency(t *testing.T) {
	const prefix = "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_"
	environ := []string{
		prefix + "USERS_URL=https://u:hunter2@users/?expct_status=hunter2&ca_file=/nowhere",
		prefix + "CACHE_URL=rediss://:hunter2@cache/hunter2",
		prefix + "RATES_URL=gopher://hunter2",
		prefix + "RATES_TIMEOUT=9s",
		prefix + "QUEUE_URL=amqps://u:hunter2@queue/",
		prefix + "DB_INTERVAL=5s",
		"ACCOUNTSERVICE_HTTP_PROT=1",
	}
	want := []string{
		"ACCOUNTSERVICE_HTTP_PROT: unknown variable, did you mean ACCOUNTSERVICE_HTTP_PORT?",
		"checks.dependencies.cache.url: the value (from " + prefix + "CACHE_URL) must have the number of a database as its path, or none",
		"checks.dependencies.db.url: must be set, as " + prefix + "DB_INTERVAL names it: set " + prefix + "DB_URL, or checks.dependencies.db.url in the file",
		"checks.dependencies.rates.timeout: 9s (from " + prefix + "RATES_TIMEOUT) does not fit: checks.dependencies.rates.timeout 9s must be below checks.interval 2s",
		"checks.dependencies.rates.url: the value (from " + prefix + "RATES_URL) has an unknown scheme: there are amqp, ",
		"checks.dependencies.users.url: the value (from " + prefix + "USERS_URL) names a file in option ca_file that can't be found: is it mounted, and the name right?; has an unknown option, did you mean expect_status?",
	}
	for _, args := range [][]string{{"config", "check"}, nil} {
		r := here(t, environ, args...)
		lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
		if r.Code != exitUsage || len(lines) != len(want) || strings.Contains(r.Stderr, "hunter2") {
			t.Fatalf("%v: exit %d, want 2 and %d faults:\n%s", args, r.Code, len(want), r.Stderr)
		}
		for i := range want {
			if !strings.HasPrefix(lines[i], want[i]) {
				t.Errorf("%v: got %s\nwant %s", args, lines[i], want[i])
			}
		}
	}
}
