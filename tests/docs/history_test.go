package docs

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// CONTRIBUTING.md names a commit for each kind of change by its subject.
func TestCommitsToFollowAreInTheHistory(t *testing.T) {
	out, err := exec.Command("git", "log", "--format=%s").Output()
	history := "\n" + string(out)
	if err != nil || strings.Count(history, "\n") < 500 {
		t.Skipf("needs the repository's whole history: %v", err)
	}
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	harness.Must(t, err)
	follow := regexp.MustCompile(`(?m)^Follow "([^"]+)"`).FindAllSubmatch(text, -1)
	if len(follow) != 5 {
		t.Errorf("%d commits to follow, want one for each of five kinds of change", len(follow))
	}
	for _, subject := range follow {
		if !strings.Contains(history, "\n"+string(subject[1])+"\n") {
			t.Errorf("no commit has the subject %q", subject[1])
		}
	}
}
