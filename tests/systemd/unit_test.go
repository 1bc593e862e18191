//go:build linux

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// exposure is the highest that systemd-analyze may give the unit, in tenths: 0 is safe, 100 is not.
const exposure = "15"

// systemd itself finds neither an error in the unit nor a way to more than the service needs.
func TestUnitIsRightAndHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	text := []byte(harness.Read(t, unit))
	file := filepath.Join(t.TempDir(), "accountservice.service")
	text = regexp.MustCompile(`(?m)^ExecStart=.*`).ReplaceAll(text, []byte("ExecStart=/bin/true")) // it must be there
	harness.Must(t, os.WriteFile(file, text, 0o644))
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", file},
		{"security", "--no-pager", "--offline=yes", "--threshold=" + exposure, file},
	} {
		got := harness.Run(t, exec.Command("systemd-analyze", args...))
		if strings.Contains(got.Stderr, "unrecognized option") {
			t.Skip("needs systemd-analyze 250 or newer")
		}
		if got.Code != 0 || args[0] == "verify" && got.Stderr+got.Stdout != "" {
			t.Errorf("systemd-analyze %s ends with %d\n%s%s", args[0], got.Code, got.Stdout, got.Stderr)
		}
	}
}
