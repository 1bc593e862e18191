package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

func TestServeRemoteFolder(*testing.T) { harness.ServeRemoteFolder() }

// The copy of a lost database is the last one. That the process stood still amid it is no reason to give it up.
func TestStopWaitsForACopyAmidWhichTheProcessStoodStill(t *testing.T) {
	t.Parallel()
	remote := harness.NewRemoteFolder(t)
	p := ready(t, newPath(t), "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+remote.Path)
	remote.Hang(t)
	harness.Must(t, os.Remove(p.Path))
	p.Says(t, "/health/checks/records", "its accounts are being copied")
	p.Signal(t, syscall.SIGSTOP)
	<-time.After(32 * time.Second) // a copy of this size is taken to hang after 30 s
	p.Signal(t, syscall.SIGTERM)
	p.Signal(t, syscall.SIGCONT)
	p.Logs(t, "draining")
	<-time.After(closeTimeout + time.Second) // so long a stop waits for all else
	remote.Answer(t)
	p.Exits(t, 3)
	p.Logs(t, `"accounts":100`)
	if copies := glob(t, filepath.Join(remote.Path, "accounts.db.rescued-*")); len(copies) != 1 {
		t.Errorf("there are the copies %q, want one", copies)
	}
}

func TestStartOnADiskThatHangsCanBeToldToStop(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	p := ready(t, filepath.Join(remote.Path, "accounts.db"))
	p.Stop(t, 0)
	remote.Hang(t)
	defer remote.Answer(t)
	p = start(t, p.Path)
	p.Says(t, "/health", "opening the database")
	p.Stop(t, 3)
	p.Logs(t, "told to stop before it was ready: opening the database does not end within 2s: its disk is slow, or does not answer")
}

func TestVerifyGivesUpAFileThatHangs(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	path := filepath.Join(remote.Path, "accounts.db")
	harness.Must(t, os.WriteFile(path, nil, 0o600))
	remote.Hang(t)
	defer remote.Answer(t)
	r := here(t, nil, "verify", "--timeout", "100ms", path)
	r.is(t, 2, "", "a read does not end")
	r.is(t, 2, "", "--timeout grants more")
}

// TestFolderOfObjectStorage: it cannot be flushed, and counts more bytes than an int64. All else of it works.
func TestFolderOfObjectStorage(t *testing.T) {
	remote := harness.NewRemoteFolder(t)
	folder, err := os.Open(remote.Path)
	harness.Must(t, err)
	defer folder.Close()
	if err := folder.Sync(); err == nil {
		t.Fatal("the folder can be flushed")
	}
	path := filepath.Join(remote.Path, "accounts.db")
	p := ready(t, path, "ACCOUNTSERVICE_BACKUP_TO="+remote.Path)
	p.Logs(t, "backup made")
	p.Await(t, "/health/checks/disk", 200)
	p.Stop(t, 0)
	harness.Must(t, errors.Join(os.Remove(path), os.Remove(path+".witness")))
	here(t, nil, "export", "--salvage", glob(t, remote.Path+"/accounts-*.db")[0], "--output", path+".ndjson").is(t, 0, "", "")
	runs(t, command(path, "restore", remote.Path)).is(t, 0, "restored 100 accounts", "")
	p = ready(t, path)
	harness.Must(t, os.Remove(path))
	p.Await(t, "/health", 503)
	p.Says(t, "/health", "all 100 accounts were put back at the path")
}
