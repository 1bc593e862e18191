package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// seldom keeps the bolt check from finding a fault before the stop does.
var seldom = []string{"ACCOUNTSERVICE_CHECKS_BOLT_INTERVAL=1h", "ACCOUNTSERVICE_CHECKS_BOLT_STALE_AFTER=3h"}

func TestAccountsThatAStopCouldNotSaveAreNoGoodEnd(t *testing.T) {
	for name, full := range map[string]bool{"room to save them": false, "a full disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			harness.SmallDisk(t, dir, "size=4m")
			p := ready(t, filepath.Join(dir, "accounts.db"), seldom...)
			for code := 3; code == 3; {
				p.Put(t, "10000", "Acknowledged")
				if full {
					harness.Fill(t, dir)
				}
				harness.Must(t, os.Remove(p.Path))
				p.Signal(t, syscall.SIGTERM)
				if full {
					p.Exits(t, 3)
					p.Logs(t, "the database failed while the service stopped")
					p.Logs(t, "no space left on device")
					return
				}
				if !p.Ended(30 * time.Second) {
					t.Fatal("did not stop")
				}
				if code = p.Code(); code == 3 { // the committer looks each 500 ms: it was before the stop, so once more
					p.Logs(t, "were put back at the path; a restart serves them")
				} else if code != 0 {
					t.Fatalf("exit code %d, want 0", code)
				}
				p = start(t, p.Path, append(seldom, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")...)
				p.Await(t, "/accounts/10000", 200)
			}
		})
	}
}

func TestDatabaseReplacedDuringTheDrainIsNoGoodEnd(t *testing.T) {
	t.Parallel()
	other := writtenLast(t, "other")
	p := ready(t, newPath(t), append(seldom, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=1s")...)
	p.Signal(t, syscall.SIGTERM)
	p.Await(t, "/ready", 503)
	harness.Must(t, os.Rename(other, p.Path))
	p.Exits(t, 3)
	p.Logs(t, "another file was put at")
}

func TestBackupWithoutRoomSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=4m")
	p := ready(t, filepath.Join(dir, "accounts.db"), anyAdmin)
	harness.Fill(t, dir)
	to := filepath.Join(t.TempDir(), "backup.db")
	admin := "ACCOUNTSERVICE_ADMIN_ADDR=" + strings.TrimPrefix(p.Admin(t), "http://")
	runs(t, with(command(p.Path, "backup", "--to", to), admin)).is(t, 1, "", "0 MiB are free in "+dir)
	absent(t, to)
}
