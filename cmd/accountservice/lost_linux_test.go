package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// seldom keeps the bolt check from finding a fault before the stop does.
var seldom = []string{"ACCOUNTSERVICE_CHECKS_BOLT_INTERVAL=1h", "ACCOUNTSERVICE_CHECKS_BOLT_STALE_AFTER=3h"}

func TestAccountsThatAStopCouldNotSaveAreNoGoodEnd(t *testing.T) {
	for name, full := range map[string]bool{"room to save them": false, "a full disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
				t.Skipf("needs the right to mount: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			p := start(t, filepath.Join(dir, "accounts.db"), seldom...)
			p.await(t, "/ready", 200)
			p.put(t, "10000", "Acknowledged")
			if full {
				fill(t, dir)
			}
			if err := os.Remove(p.path); err != nil {
				t.Fatal(err)
			}
			p.signal(t, syscall.SIGTERM)
			if full {
				p.exits(t, 3)
				p.logs(t, "the database failed while the service stopped")
				p.logs(t, "no space left on device")
				return
			}
			p.exits(t, 0)
			successor := start(t, p.path, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")
			successor.await(t, "/accounts/10000", 200)
		})
	}
}

func TestDatabaseReplacedDuringTheDrainIsNoGoodEnd(t *testing.T) {
	t.Parallel()
	other := writtenLast(t, "other")
	p := start(t, newPath(t), append(seldom, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=1s")...)
	p.await(t, "/ready", 200)
	p.signal(t, syscall.SIGTERM)
	p.await(t, "/ready", 503)
	if err := os.Rename(other, p.path); err != nil {
		t.Fatal(err)
	}
	p.exits(t, 3)
	p.logs(t, "another file was put at")
}

// fill writes until there is no room for one more byte.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil || n < size {
			size /= 2
		}
	}
}
