package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// Each check of the service itself is in the README, has a cure for the status page, and no dependency can have its name:
// the service would not start.
func TestEveryCheckOfTheServiceItselfIsDocumented(t *testing.T) {
	files, err := filepath.Glob("../../cmd/accountservice/*.go")
	harness.Must(t, err)
	names := make(map[string]bool)
	for _, file := range files {
		text := harness.Read(t, file)
		for _, call := range regexp.MustCompile(`\b(?:ownCheck|newCheck)\("([^"]+)"`).FindAllStringSubmatch(text, -1) {
			names[call[1]] = true
		}
	}
	if len(names) < 10 {
		t.Errorf("found the checks %v alone", names)
	}
	for file, form := range map[string]string{
		"../../README.md": "`NAME`", "../../docs/settings.md": "`NAME`", "../../cmd/accountservice/cures.go": `"NAME":`,
	} {
		text := harness.Read(t, file)
		for name := range names {
			if !strings.Contains(text, strings.Replace(form, "NAME", name, 1)) {
				t.Errorf("%s does not have the check %s", file, name)
			}
		}
	}
}
