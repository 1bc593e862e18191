package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// Each testdata/NAME.yaml is a mistake; NAME.want is all that Load says of it.
func TestEachBadFileSaysWhatIsWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, nil)
			if err == nil {
				t.Fatal("got no fault")
			}
			wanted := strings.TrimSuffix(file, ".yaml") + ".want"
			if *harness.Update {
				harness.Must(t, os.WriteFile(wanted, []byte(err.Error()+"\n"), 0o644))
			}
			want, readErr := os.ReadFile(wanted)
			harness.Must(t, readErr)
			wantFaults(t, err, strings.TrimSuffix(string(want), "\n"))
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got a password in %v", err)
			}
		})
	}
}

func TestFilesWithoutSettingsGiveTheDefaults(t *testing.T) {
	for _, content := range []string{"", "\n", "# only a comment\n", "---\n", "---\n# comment\n", "{}", "http: {}\n", "checks:\n  dependencies: {}\n"} {
		loaded, err := Load(harness.File(t, "a.yaml", content), nil)
		if err != nil || loaded.HTTP.Port != 6767 || len(loaded.Checks.Dependencies) > 0 {
			t.Errorf("%q: got %+v, %v", content, loaded.Config, err)
		}
	}
}

func TestYAMLTextIsTakenAsWritten(t *testing.T) {
	for content, want := range map[string]string{
		"store: {bolt: {rescue_dir: yes}}":               "yes",
		"store: {bolt: {rescue_dir: 0777}}":              "0777",
		"store: {bolt: {rescue_dir: 1e3}}":               "1e3",
		"store: {bolt: {rescue_dir: \"a\\u0062\"}}":      "ab",
		"store:\n  bolt:\n    rescue_dir: 'a # b'\n":     "a # b",
		"store:\n  bolt:\n    rescue_dir: a # comment\n": "a",
		"store: {bolt: {rescue_dir: ''}}":                "",
	} {
		loaded, err := Load(harness.File(t, "a.yaml", content), nil)
		if err != nil || loaded.Store.Bolt.RescueDir != want {
			t.Errorf("%q: got %q, %v, want %q", content, loaded.Store.Bolt.RescueDir, err, want)
		}
	}
}
