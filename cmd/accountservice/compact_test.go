package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestCompactSaysTheSizesAndTheServiceServesTheFile(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	before, err := os.Stat(path)
	harness.Must(t, err)
	r := here(t, nil, "compact", path)
	after, err := os.Stat(path)
	harness.Must(t, err)
	r.is(t, 0, "bytes before, ", "")
	if r.is(t, 0, "; 100 accounts\n", ""); after.Size() >= before.Size() || r.Stderr != "" {
		t.Errorf("%d bytes of %d, %q", after.Size(), before.Size(), r.Stderr)
	}
	p := ready(t, path, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")
	p.Await(t, "/accounts/10099", 200)
	here(t, nil, "compact", path).is(t, 1, "", "Stop the service that has it open")
	p.Stop(t, 0)
	p.NeverLogged(t, "WARN", `"level":"warn`)
}

func TestCompactOfADamagedFileFails(t *testing.T) {
	t.Parallel()
	path := leftBehind(t)
	b := tear(t, path)
	r := here(t, nil, "compact", path)
	r.is(t, 1, "", "page ")
	if r.is(t, 1, "", "accountservice restore"); r.Stdout != "" {
		t.Errorf("%q", r.Stdout)
	}
	holds(t, path, string(b))
	here(t, nil, "compact").is(t, 2, "", "")
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
