package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// CONTRIBUTING.md names for each kind of change a neighbour to copy, by what git grep finds, and what to change.
func TestWhatContributingNamesIsInTheCode(t *testing.T) {
	if err := exec.Command("git", "-C", "../..", "rev-parse").Run(); err != nil {
		t.Skipf("needs the repository: %v", err)
	}
	text := harness.Read(t, "../../CONTRIBUTING.md")
	lines := regexp.MustCompile("(?m)^Copy .*$").FindAllString(text, -1)
	if len(lines) != 6 {
		t.Errorf("%d lines, want one for each of six kinds of change", len(lines))
	}
	for _, line := range lines {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
			out, err := exec.Command("git", "-C", "../..", "grep", "-lF", name[1], "--", "*.go", "docs", "configs").Output()
			if strings.Count(string(out), "\n") < 2 {
				t.Errorf("%s: git grep finds %s in %q, %v", line, name[1], out, err)
			}
		}
	}
	for _, name := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		if exec.Command("git", "-C", "../..", "grep", "-qwF", name[1], "--", "*.go", "go.mod").Run() != nil {
			t.Errorf("CONTRIBUTING.md names %s, which is in no file of Go", name[1])
		}
	}
}
