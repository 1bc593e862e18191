package config

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

const sampleFile = "../configs/accountservice.yaml"

// The file as it is, and with the settings in it that are commented out: # and no space.
func TestSampleFileHasEverySettingWithItsDefault(t *testing.T) {
	content := harness.Read(t, sampleFile)
	text := regexp.MustCompile(`(?m)^( *)#(\w)`).ReplaceAllString(content, "$1$2")
	text = strings.Replace(text, "dependencies: {}", "dependencies:", 1)
	for _, c := range []struct {
		file      string
		inherited bool // those are in the file, too
		want      Loaded
	}{
		{sampleFile, false, load(t)},
		{harness.File(t, "a.yaml", text), true, load(t, usersURL+"=http://users:8080/health")},
	} {
		loaded, err := Load(c.file, nil)
		harness.Must(t, err)
		if !reflect.DeepEqual(loaded.Config, c.want.Config) {
			t.Errorf("got:\n%+v\nwant:\n%+v", loaded.Config, c.want.Config)
		}
		for _, r := range rowsOf(loaded.Config) {
			if (c.inherited || r.inherit == "") && !loaded.origins[r.key].set() {
				t.Errorf("%s is not in %s", r.key, c.file)
			}
		}
	}
}

func TestPrintSaysWhereEachValueCameFrom(t *testing.T) {
	file := harness.File(t, "a.yaml", "http: {max_body: 512KiB}\nchecks: {interval: 3s, dependencies: {user-api: {url: 'http://u:pw@a/'}}}\n")
	secret := harness.File(t, "port", "7000\n")
	loaded, err := Load(file, []string{"ACCOUNTSERVICE_HTTP_PORT_FILE=" + secret, "ACCOUNTSERVICE_LOG_LEVEL=warn"})
	harness.Must(t, err)
	for format, lines := range map[string][]string{
		"yaml": {
			"  tokens_path: \"\" # default", "  port: 7000 # secret file " + secret + ", named by ACCOUNTSERVICE_HTTP_PORT_FILE",
			"  max_body: 512KiB # " + file + ":1", "  level: warn # ACCOUNTSERVICE_LOG_LEVEL",
			"    interval: 3s # as checks.interval: " + file + ":2", "      url: http://u:xxxxx@a/ # " + file + ":2",
		},
		"json": {
			`    "port": 7000,`, `    "max_body": "512KiB",`, `    "http.max_body": "` + file + `:1",`, `    "http.host": "default",`,
			`        "url": "http://u:xxxxx@a/"`,
		},
		"env": {
			"ACCOUNTSERVICE_HTTP_PORT=7000", "# default\nACCOUNTSERVICE_STORE_SEED=100",
			"# checks.dependencies.user-api.url can only be set in a file (" + file + ":2)",
		},
	} {
		var b bytes.Buffer
		harness.Must(t, loaded.Print(&b, format))
		for _, line := range lines {
			if !strings.Contains("\n"+b.String(), "\n"+line+"\n") {
				t.Errorf("%s: got no %q in:\n%s", format, line, b.String())
			}
		}
	}
	if err := loaded.Print(&bytes.Buffer{}, "toml"); err == nil || !strings.Contains(err.Error(), "yaml, json or env") {
		t.Errorf("got %v", err)
	}
}
