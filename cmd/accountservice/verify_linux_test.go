package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestServeRemoteFolder(*testing.T) { harness.ServeRemoteFolder() }

func TestStartOnADiskThatHangsCanBeToldToStop(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	p := ready(t, filepath.Join(remote.Path, "accounts.db"))
	p.Stop(t, 0)
	remote.Hang(t)
	defer remote.Answer(t)
	p = start(t, p.Path)
	p.Says(t, "/health", "opening the database")
	p.Stop(t, 3)
	p.Logs(t, "told to stop before it was ready: opening the database does not end: its disk does not answer")
}

func TestVerifyGivesUpAFileThatHangs(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	path := filepath.Join(remote.Path, "accounts.db")
	harness.Must(t, os.WriteFile(path, nil, 0o600))
	remote.Hang(t)
	defer remote.Answer(t)
	code, _, stderr := here(t, "verify", "--timeout", "100ms", path)
	if code != 2 || !strings.Contains(stderr, "a read does not end") || !strings.Contains(stderr, "--timeout grants more") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
