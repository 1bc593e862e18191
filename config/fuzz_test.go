package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// FuzzLoad gives Load any file and any environment, one variable a line. It must not panic, and what it lets pass must
// be within every range and rule, and load again from what Print writes of it.
func FuzzLoad(f *testing.F) {
	content, err := os.ReadFile(sampleFile)
	harness.Must(f, err)
	f.Add(content, "HTTP_PORT=7000\nCHECKS_DEPENDENCIES_USERS_URL=http://u:p@users/?token=x")
	f.Add([]byte("http: {port: 0777}"), "HTTP_PROT=1\nHTTP=x\nCONFIG_UNKNOWN=warn")
	f.Add([]byte("checks: {interval: 5s, stale_after: 1m, dependencies: {a-b: {url: 'https://a', on_failure: unroute}}}"), "CHECKS_DISK_TIMEOUT=2s\nHTTP_HOST=%")
	bad, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range bad {
		content, err = os.ReadFile(file)
		harness.Must(f, err)
		f.Add(content, "")
	}
	path := filepath.Join(f.TempDir(), "a.yaml")
	f.Fuzz(func(t *testing.T, content []byte, lines string) {
		harness.Must(t, os.WriteFile(path, content, 0o600))
		var environ []string
		for line := range strings.SplitSeq(lines, "\n") {
			environ = append(environ, EnvPrefix+line)
		}
		loaded, err := Load(path, environ)
		if err != nil {
			if got := strings.Count(err.Error(), "\n") + 1; got != len(err.(Faults)) {
				t.Errorf("got %d lines for %d faults:\n%v", got, len(err.(Faults)), err)
			}
			return
		}
		checkLoaded(t, loaded)
	})
}

func checkLoaded(t *testing.T, loaded Loaded) {
	for _, r := range rowsOf(loaded.Config) {
		if err := r.check(r.value); err != nil {
			t.Errorf("%s: got %v, which %v", r.key, r.value, err)
		}
	}
	c := loaded.Checks
	all := []Schedule{c.Schedule, c.Bolt.Schedule, c.Records.Schedule, c.Disk.Schedule}
	for name, d := range c.Dependencies {
		if len(name) > 63 || !dependencyName.MatchString(name) {
			t.Errorf("got a dependency %q", name)
		}
		all = append(all, d.Schedule)
	}
	for _, check := range all {
		if check.Timeout >= check.Interval || check.StaleAfter < check.Interval*time.Duration(check.FailAfter)+check.Timeout {
			t.Errorf("got %+v", check)
		}
	}
	if h := loaded.HTTP; h.DrainDelay+h.ShutdownTimeout+closeTime > h.StopGracePeriod || h.ReadHeaderTimeout > h.ReadTimeout {
		t.Errorf("got %+v", h)
	}
	checkPrint(t, loaded)
}

// checkPrint loads what Print wrote and compares what can be seen.
func checkPrint(t *testing.T, loaded Loaded) {
	var b bytes.Buffer
	harness.Must(t, loaded.Print(&b, "yaml"))
	again, err := Load(harness.File(t, "b.yaml", b.String()), nil)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	want, got := rowsOf(loaded.Config), rowsOf(again.Config)
	for i := range want {
		if format(want[i].value) != format(got[i].value) {
			t.Errorf("%s: got %v again, want %v", want[i].key, got[i].value, want[i].value)
		}
	}
	b.Reset()
	harness.Must(t, loaded.Print(&b, "env"))
	var environ []string
	for line := range strings.Lines(b.String()) {
		environ = append(environ, strings.TrimSuffix(line, "\n"))
	}
	if again, err = Load("", environ); err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	if len(again.Checks.Dependencies) == len(loaded.Checks.Dependencies) && !reflect.DeepEqual(again.HTTP, loaded.HTTP) {
		t.Errorf("got %+v again, want %+v", again.HTTP, loaded.HTTP)
	}
}
