package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestCompactSaysTheSizesAndTheServiceServesTheFile(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	before, err := os.Stat(path)
	harness.Must(t, err)
	code, stdout, stderr := here(t, "compact", path)
	after, err := os.Stat(path)
	harness.Must(t, err)
	if code != 0 || after.Size() >= before.Size() || stderr != "" ||
		!strings.Contains(stdout, "bytes before, ") || !strings.Contains(stdout, "; 100 accounts\n") {
		t.Errorf("exit %d, %q, %q; %d bytes of %d", code, stdout, stderr, after.Size(), before.Size())
	}
	p := ready(t, path, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")
	p.Await(t, "/accounts/10099", 200)
	if code, _, stderr := here(t, "compact", path); code != 1 || !strings.Contains(stderr, "Stop the service that has it open") {
		t.Errorf("of a file in use: exit %d, %q", code, stderr)
	}
	p.Stop(t, 0)
	if strings.Contains(p.Log.String(), "WARN") || strings.Contains(p.Log.String(), `"level":"warn`) {
		t.Errorf("a start after it warns:\n%s", p.Log)
	}
}

func TestCompactOfADamagedFileFails(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	b := tear(t, path)
	code, stdout, stderr := here(t, "compact", path)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "page ") ||
		!strings.Contains(stderr, "accountservice restore") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file was changed: %v", err)
	}
	if code, _, _ := here(t, "compact"); code != 2 {
		t.Errorf("without a file: exit %d", code)
	}
}

// TestChangeThatIsDoneExitsWith0AlsoIfNobodyReadsIt: after any other code the file is as it was.
func TestChangeThatIsDoneExitsWith0AlsoIfNobodyReadsIt(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	dir, _ := backupOf(t, 30, time.Now())
	reader, deaf, err := os.Pipe()
	harness.Must(t, err)
	defer deaf.Close()
	harness.Must(t, reader.Close())
	for _, args := range [][]string{{"compact", path}, {"restore", "--force", dir}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, []string{"ACCOUNTSERVICE_STORE_BOLT_PATH=" + path}, deaf, &stderr); code != 0 {
			t.Errorf("%s: exit %d, %s", args[0], code, stderr.String())
		}
	}
	wantAccounts(t, path, 30)
}
