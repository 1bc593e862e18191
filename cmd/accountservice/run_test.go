package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		"help":             {[]string{"--help"}, nil, 0, "accountservice config docs", ""},
		"version":          {[]string{"--version"}, nil, 0, "dev", ""},
		"unknown flag":     {[]string{"--prot=1"}, nil, 2, "", "unknown flag: --prot"},
		"unknown command":  {[]string{"server"}, nil, 2, "", `"server"`},
		"missing file":     {[]string{"--config", "none.yaml"}, nil, 2, "", "none.yaml"},
		"check":            {[]string{"config", "check"}, nil, 0, "configuration is valid", ""},
		"check of a typo":  {[]string{"config", "check"}, []string{"ACCOUNTSERVICE_HTTP_PROT=1"}, 2, "", "ACCOUNTSERVICE_HTTP_PORT"},
		"check of others":  {[]string{"config", "check"}, []string{"PATH=/bin", "HTTP_PORT=1"}, 0, "valid", ""},
		"print":            {[]string{"config", "print"}, []string{"ACCOUNTSERVICE_HTTP_PORT=7000"}, 0, "7000", ""},
		"print as JSON":    {[]string{"config", "print", "--format", "json"}, nil, 0, "6767", ""},
		"print of memory":  {[]string{"config", "print", "--format", "env"}, nil, 0, "# memory limit of the Go runtime: ", ""},
		"print as XML":     {[]string{"config", "print", "--format", "xml"}, nil, 2, "", "xml"},
		"docs":             {[]string{"config", "docs"}, nil, 0, "ACCOUNTSERVICE_HTTP_PORT", ""},
		"shell completion": {[]string{"completion", "bash"}, nil, 0, "accountservice", ""},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, c.environ, &stdout, &stderr); code != c.code ||
			!strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit %d, stdout %.300q, stderr %q; want %d, %q, %q", name, code, stdout.String(), stderr.String(), c.code, c.stdout, c.stderr)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("files were made: %v, %v", left, err)
	}
}

func TestFileAndEnvironmentAreBothRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("http:\n  port: 7001\nlog:\n  level: debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"config", "print"}, []string{"ACCOUNTSERVICE_CONFIG=" + file, "ACCOUNTSERVICE_LOG_LEVEL=warn"}, &stdout, &stderr); code != 0 ||
		!strings.Contains(stdout.String(), "7001") || !strings.Contains(stdout.String(), "warn") {
		t.Errorf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
}
