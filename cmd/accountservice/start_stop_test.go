package main

import (
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// writtenLast returns the path of a database that a service made and closed, with
// one account, written last.
func writtenLast(t *testing.T, id string) string {
	t.Helper()
	p := ready(t, newPath(t))
	p.Put(t, id, "Last")
	p.Stop(t, 0)
	if strings.Contains(p.Log.String(), "closing the database") {
		t.Errorf("closing failed:\n%s", p.Log)
	}
	return p.Path
}

func TestFullDiskDegradesAndSettingsOfACheckAreShown(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_CHECKS_DISK_MIN_FREE=1PiB", "ACCOUNTSERVICE_CHECKS_BOLT_INTERVAL=6s", "ACCOUNTSERVICE_CHECKS_BOLT_TIMEOUT=3500ms")
	p.Says(t, "/health/checks/disk", "less than") // ready does not wait for a check that degrades
	disk := p.Await(t, "/health/checks/disk", 503)
	for _, want := range []string{filepath.Dir(p.Path) + " has ", "less than 1073741824.0 MiB", `"on_failure":"degrade"`, `"interval":"5s"`, `"timeout":"4s"`} {
		if !strings.Contains(disk, want) {
			t.Errorf("/health/checks/disk = %s, want %q", disk, want)
		}
	}
	if status, body := p.Get("/health"); status != 200 || !strings.Contains(body, `"status":"Partially Available"`) || !strings.Contains(body, `"failures":{"disk":`) {
		t.Errorf("/health = %d %s, want 200, partially available for the disk", status, body)
	}
	if bolt := p.Await(t, "/health/checks/bolt", 200); !strings.Contains(bolt, `"interval":"6s"`) || !strings.Contains(bolt, `"timeout":"3.5s"`) {
		t.Errorf("/health/checks/bolt = %s, want its own interval 6s and timeout 3.5s", bolt)
	}
	p.Stop(t, 0)
}

func TestMissingDatabaseIsNotMadeWhereItMustExist(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")
	p.Exits(t, 1)
	p.Logs(t, "store.bolt.create is never")
	if left, err := os.ReadDir(filepath.Dir(p.Path)); err != nil || len(left) != 0 {
		t.Errorf("files were made: %v, %v", left, err)
	}
}

func TestLostDatabaseIsNotTakenForAFirstStart(t *testing.T) {
	t.Parallel()
	path := writtenLast(t, "mine")
	harness.Must(t, os.Remove(path))
	p := start(t, path)
	p.Exits(t, 1)
	p.Logs(t, path+".witness")
	p.Logs(t, "restore a backup")
	absent(t, path)
}

func TestRestoredDatabaseIsServedAndSaidOnce(t *testing.T) {
	t.Parallel()
	mine, backup := writtenLast(t, "mine"), writtenLast(t, "restored")
	harness.Must(t, os.Rename(backup, mine))
	for _, said := range []bool{true, false} {
		p := ready(t, mine)
		p.Await(t, "/accounts/restored", 200)
		p.Await(t, "/accounts/mine", 404)
		if got := strings.Contains(p.Log.String(), "taken as a restore"); got != said {
			t.Errorf("said to be a restore: %v, want %v:\n%s", got, said, p.Log)
		}
		p.Stop(t, 0)
	}
}

func TestDamagedNewestMetaPageIsRefusedUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	path := writtenLast(t, "last")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Must(t, err)
	defer f.Close()
	// bbolt's page.go and meta.go: 16 bytes of page header, the magic first, the transaction after 48
	newest, highest := int64(0), uint64(0)
	for _, page := range []int64{0, int64(os.Getpagesize())} {
		txid := make([]byte, 8)
		if _, err := f.ReadAt(txid, page+16+48); err != nil {
			t.Fatal(err)
		}
		if n := binary.NativeEndian.Uint64(txid); n >= highest {
			newest, highest = page, n
		}
	}
	if _, err := f.WriteAt(make([]byte, 4), newest+16); err != nil {
		t.Fatal(err)
	}
	p := start(t, path)
	p.Exits(t, 1)
	p.Logs(t, "its newest meta page is damaged")
	p.Logs(t, "store.bolt.accept_older_meta")

	p = ready(t, path, "ACCOUNTSERVICE_STORE_BOLT_ACCEPT_OLDER_META=true")
	p.Await(t, "/accounts/10000", 200)
	p.Await(t, "/accounts/last", 404) // the price
	p.Logs(t, "the database was damaged and is mended")
	p.Stop(t, 0)
}

func TestServiceThatWasNeverReadyExits3(t *testing.T) {
	t.Parallel()
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	p := start(t, newPath(t), "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL="+sick.URL, "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_ON_FAILURE=unroute")
	p.Await(t, "/health", 200)
	if status, body := p.Get("/ready"); status != 503 || !strings.Contains(body, "it answers 404") {
		t.Errorf("/ready = %d %s, want 503 for the dependency", status, body)
	}
	p.Await(t, "/accounts/10000", 200)
	p.Stop(t, 3)
	p.Logs(t, "told to stop before it was ever ready")
}

func TestConnectionWithoutARequestIsNotCutShort(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=300ms")
	silent, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	harness.Must(t, err)
	defer silent.Close()
	p.Await(t, "/ready", 200) // connections are accepted in turn: the silent one was
	p.Stop(t, 0)
}
