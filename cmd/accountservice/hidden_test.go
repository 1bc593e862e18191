package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestKeyOfTheFileThatHasNoEffectIsSaidAtTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "accountservice.yaml")
	if err := os.WriteFile(file, []byte("store:\n  bolt:\n    path: /mine/accounts.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, newPath(t), "ACCOUNTSERVICE_CONFIG="+file)
	p.await(t, "/ready", 200)
	p.logs(t, "a key of the file has no effect")
	p.logs(t, file+":3) is set otherwise by ACCOUNTSERVICE_STORE_BOLT_PATH")
	p.signal(t, syscall.SIGTERM)
	p.exits(t, 0)
}
