package boltstore_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
)

// child is this test binary as another process, doing as childProcesses say.
func child(task string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$")
	// the race detector waits a second at the end of each process
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "BOLTSTORE_CHILD="+task, "BOLTSTORE_ARGS="+strings.Join(args, "\n"))
	return cmd
}

// childProcesses are what a child can do.
var childProcesses = map[string]func(args []string){}

func TestChildProcess(t *testing.T) {
	if task := os.Getenv("BOLTSTORE_CHILD"); task != "" { // else this is no child, and there is nothing to do
		childProcesses[task](strings.Split(os.Getenv("BOLTSTORE_ARGS"), "\n"))
		os.Exit(0)
	}
}

// verified is boltverify.Verify, and the promise that it changes nothing.
func verified(t *testing.T, path string) (boltverify.Report, error) {
	t.Helper()
	before := sumOf(path)
	report, err := boltverify.Verify(t.Context(), path)
	if sumOf(path) != before {
		t.Errorf("the file was changed")
	}
	return report, err
}

// wantIntact wants a database without damage.
func wantIntact(t *testing.T, path string) {
	t.Helper()
	if report, err := verified(t, path); err != nil || !report.Intact {
		t.Errorf("the file is damaged: %.300v, %v", report.Findings, err)
	}
}

func closesIntact(t *testing.T, s *boltstore.Store, path string) {
	t.Helper()
	storetest.Close(t, s)
	wantIntact(t, path)
}
