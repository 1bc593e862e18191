package main

import (
	"os"
	"path/filepath"
	"testing"

	"accountservice/tests/harness"
)

func TestKeyOfTheFileThatHasNoEffectIsSaidAtTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "accountservice.yaml")
	harness.Must(t, os.WriteFile(file, []byte("store:\n  bolt:\n    path: /mine/accounts.db\n"), 0o600))
	p := ready(t, newPath(t), "ACCOUNTSERVICE_CONFIG="+file)
	p.Logs(t, "a key of the file has no effect")
	p.Logs(t, file+":3) is set otherwise by ACCOUNTSERVICE_STORE_BOLT_PATH")
	p.Stop(t, 0)
}
