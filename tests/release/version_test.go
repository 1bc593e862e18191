package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// docker build has the files of git and no git: version.sh reads of them what git describe says.
func TestImageKnowsItsVersionFromGitsFiles(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	script, err := filepath.Abs("../../version.sh")
	harness.Must(t, err)
	folder := t.TempDir()
	output := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.Output()
		harness.Must(t, err)
		return strings.TrimSpace(string(out))
	}
	git := func(line string) string { t.Helper(); return output("git", strings.Fields(line)...) }
	says := func(want string) {
		t.Helper()
		if got := output("sh", script); got != want {
			t.Errorf("version.sh = %q, want %q", got, want)
		}
	}
	says("dev")
	git("init -q")
	says("dev")
	git("commit -q --allow-empty -m one")
	says(git("rev-parse --short=7 HEAD"))
	git("pack-refs --all")
	says(git("rev-parse --short=7 HEAD"))
	git("tag 1.0.0")
	says("1.0.0")
	git("pack-refs --all")
	says("1.0.0")
	git("commit -q --allow-empty -m two")
	says(git("rev-parse --short=7 HEAD"))
	git("tag -a -m message 2.0.0")
	git("pack-refs --all") // as a clone has it
	says("2.0.0")
	git("checkout -q 1.0.0")
	says("1.0.0")
}
