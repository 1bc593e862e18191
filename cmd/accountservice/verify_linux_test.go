package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

func TestServeRemoteFolder(*testing.T) { harness.ServeRemoteFolder() }

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
