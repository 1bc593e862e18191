package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/backup"
	"accountservice/internal/restore"
	"accountservice/tests/harness"
)

// restores has a start restore from this target.
func restores(to string, env ...string) []string {
	return append([]string{"ACCOUNTSERVICE_STORE_BOLT_CREATE=restore", "ACCOUNTSERVICE_BACKUP_TO=" + to}, env...)
}

// warningOf returns the warning of the check restored in /health, or "".
func warningOf(t *testing.T, p *harness.Process) string {
	t.Helper()
	p.Says(t, "/health", `"status":"OK",`) // no check is starting any more
	return p.Health().Checks["restored"].Warning
}

func TestStartOnAnEmptyVolumeServesTheNewestBackupAndSaysSo(t *testing.T) {
	t.Parallel()
	dir, newest := backupOf(t, 30, time.Now().Add(-42*time.Minute))
	_, older := backupOf(t, 20, time.Now())
	copied(t, older, filepath.Join(dir, backup.NameOf(time.Now().Add(-2*time.Hour), 3)))
	damaged := filepath.Join(dir, backup.NameOf(time.Now().Add(-40*time.Minute), 5))
	harness.Must(t, os.WriteFile(damaged, []byte("cut"), 0o600))
	path := newPath(t)
	p := ready(t, path, append(restores(dir), quick...)...)
	p.Await(t, "/accounts/10029", 200)
	p.Await(t, "/accounts/10030", 404) // it is not seeded
	p.Logs(t, "a backup is damaged: the next one is tried")
	p.Logs(t, damaged)
	p.Logs(t, "there was no database: the newest backup was restored")
	p.Says(t, "/health", `"restored"`)
	for range 2 { // it outlives a restart
		if words := warningOf(t, p); !strings.Contains(words, newest) || !strings.Contains(words, "up to 42m") {
			t.Errorf("the warning is %q, want the backup and its age", words)
		}
		p.Put(t, "new", "New")
		p.Stop(t, 0)
		p = ready(t, path, append(restores(dir), quick...)...)
		p.Await(t, "/accounts/new", 200)
		p.Says(t, "/health", "restore --acknowledge")
	}
	runs(t, command(path, "restore", "--acknowledge")).is(t, 0, "acknowledged", "")
	harness.Must(t, harness.Eventually(20*time.Second, func() error {
		if words := warningOf(t, p); words != "" {
			return errors.New(words)
		}
		return nil
	}))
	runs(t, command(path, "restore", "--acknowledge")).is(t, 0, "there is nothing to acknowledge", "")
}

func TestStartWithoutABackupIsRefusedAndMakesNothing(t *testing.T) {
	t.Parallel()
	damaged, file := backupOf(t, 30, time.Now())
	harness.Must(t, os.Truncate(file, 8192))
	nobody := fmt.Sprint("http://127.0.0.1:", harness.Port(t))
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }))
	t.Cleanup(refusing.Close)
	s3 := []string{"ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=a", "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=b"}
	t.Run("starts", func(t *testing.T) {
		for name, c := range map[string]struct {
			to   string
			env  []string
			says string
		}{
			"none is there":       {t.TempDir(), nil, "set store.bolt.create to auto or restore-or-new"},
			"all are damaged":     {damaged, []string{"ACCOUNTSERVICE_STORE_BOLT_CREATE=restore-or-new"}, "is damaged"},
			"no such folder":      {"/nowhere/none", []string{"ACCOUNTSERVICE_STORE_BOLT_CREATE=restore-or-new"}, "no such file"},
			"no server":           {"s3://b/p", append(s3, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT="+nobody), "connection refused"},
			"the key is refused":  {"s3://b/p", append(s3, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT="+refusing.URL), "403"},
			"the server is quiet": {"s3://b/p", append(s3, "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT="+quiet(t), "ACCOUNTSERVICE_STORE_BOLT_RESTORE_TIMEOUT=1s"), "store.bolt.restore_timeout (1s) has passed"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				p := start(t, path, restores(c.to, c.env...)...)
				p.Exits(t, 1)
				p.Logs(t, c.says)
				wantFiles(t, path)
			})
		}
	})
}

// quiet is the address of a server that answers nothing.
func quiet(t *testing.T) string {
	t.Helper()
	return "http://" + harness.Serve(t, harness.Silent).String()
}

func TestHealthSaysThatTheDatabaseIsBeingRestored(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), restores("s3://b/p", "ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=a",
		"ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=b", "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT="+quiet(t))...)
	p.Await(t, "/health", 503)
	p.Says(t, "/health", "restoring the database: asking s3://b/p")
	p.Await(t, "/accounts/10000", 503)
	p.Stop(t, 3)
}

func TestStartWithoutABackupMakesANewDatabaseIfToldTo(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	env := restores(t.TempDir(), "ACCOUNTSERVICE_STORE_BOLT_CREATE=restore-or-new")
	runs(t, with(command(path, "import", os.DevNull), env...)).is(t, 1, "", "store.bolt.create lets none be made") // an import is no first start
	p := ready(t, path, env...)
	p.Await(t, "/accounts/10099", 200)
	p.Logs(t, "no backup: a new database is made")
}

func TestNewDatabaseHasNoNoticeOfARestoreThatWasKilled(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	harness.Must(t, restore.Notice{Backup: "gone"}.Leave(path))
	p := ready(t, path)
	if words := warningOf(t, p); words != "" {
		t.Errorf("a new database warns: %s", words)
	}
	absent(t, path+".restored")
}

func TestExistingDatabaseIsNotRestored(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := ready(t, path)
	p.Stop(t, 0)
	p = ready(t, path, restores("/nowhere/none")...) // it is not even asked
	p.Await(t, "/accounts/10099", 200)
	p.Stop(t, 0)
}

// TestKilledStartLeavesNothingOrAWholeDatabaseWithItsWarning kills a start that restores at any time. STORE_TEST_LONG=1
// does it 50 times.
func TestKilledStartLeavesNothingOrAWholeDatabaseWithItsWarning(t *testing.T) {
	rounds, accounts := often(5, 50), often(5000, 20_000)
	dir, _ := backupOf(t, accounts, time.Now())
	begun := time.Now()
	p := ready(t, newPath(t), restores(dir)...)
	p.Await(t, "/accounts/10000", 200)
	whole := time.Since(begun)
	p.Stop(t, 0)
	path, found := newPath(t), 0
	for range rounds {
		cmd := with(command(path), append(restores(dir), "ACCOUNTSERVICE_HTTP_PORT="+fmt.Sprint(harness.Port(t)), "ACCOUNTSERVICE_ADMIN_ADDR=off")...)
		harness.Must(t, cmd.Start())
		time.Sleep(rand.N(whole * 5 / 4)) // the moment of the kill is what is tried
		cmd.Process.Kill()
		cmd.Wait()
		if _, err := os.Stat(path); err != nil {
			continue
		}
		found++
		wantAccounts(t, path, accounts)
		if n, err := restore.ReadNotice(path); n == nil || err != nil {
			t.Fatalf("a restored database without its notice: %v", err)
		}
		for _, file := range glob(t, path+"*") {
			harness.Must(t, os.Remove(file))
		}
	}
	t.Logf("the database was there after %d of %d kills", found, rounds)
	p = ready(t, path, restores(dir)...)
	p.Await(t, "/accounts/10000", 200)
	wantFiles(t, path, "", ".restored", ".witness")
}
