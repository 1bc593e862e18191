package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/internal/backup"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/tests/harness"
)

// backupsIn returns the paths of the backups in a folder, and fails the test if anything else is there.
func backupsIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	harness.Must(t, err)
	for _, entry := range entries {
		if _, ok := backup.ParseName(entry.Name()); !ok {
			t.Errorf("%s has %s", dir, entry.Name())
			continue
		}
		paths = append(paths, filepath.Join(dir, entry.Name()))
	}
	return paths
}

func TestBackupOfARunningService(t *testing.T) {
	t.Parallel()
	own := fmt.Sprint("ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:", harness.Port(t))
	p := ready(t, newPath(t), own)
	p.Put(t, "new", "New")
	dir := t.TempDir()
	file := harness.File(t, "file.db", "old")
	admin := p.Admin(t)
	// a witness that found no room when the database was restored
	harness.Must(t, os.WriteFile(p.Path+".witness", []byte("database: another\ntransaction: 1\n"), 0o600))
	runs(t, with(command(p.Path, "backup", "--to", file), own)).is(t, 0, "", "backed up 101 accounts") // it finds the service
	wantAccounts(t, file, 101)
	runs(t, command(p.Path, "backup", "--to", dir, "--url", admin)).is(t, 0, "", dir)
	if all := backupsIn(t, dir); len(all) != 1 {
		t.Errorf("the folder has %q", all)
	} else {
		wantAccounts(t, all[0], 101)
	}
	cmd := command(p.Path, "backup", "--to", "-", "--url", admin)
	piped := filepath.Join(t.TempDir(), "piped.db")
	out, err := os.Create(piped)
	harness.Must(t, err)
	defer out.Close()
	cmd.Stdout = out
	harness.Must(t, cmd.Run())
	wantAccounts(t, piped, 101)
	if left := glob(t, filepath.Dir(p.Path)+"/.*part"); len(left) > 0 {
		t.Errorf("beside the database there are %q", left)
	}
	p.Stop(t, 0)
	offline := filepath.Join(t.TempDir(), "offline.db")
	runs(t, command(p.Path, "backup", "--to", offline)).is(t, 0, "", "backed up 101 accounts")
	wantAccounts(t, offline, 101)
}

func TestStopAnswersABackupUnderWay(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin, "ACCOUNTSERVICE_STORE_SEED=20000") // a fifth of a second for the copy
	answered := make(chan string, 1)
	go func(url string) {
		status, body := harness.Ask("POST", url, "")
		answered <- fmt.Sprint(status, " ", body)
	}(p.Admin(t) + "/backup")
	harness.WaitFor(t, 10*time.Second, "a copy", func() bool { return glob(t, filepath.Dir(p.Path)+"/.*part") != nil })
	p.Stop(t, 0)
	if answer := <-answered; strings.HasPrefix(answer, "0 ") {
		t.Errorf("the backup is answered %.200q, want 503, or the copy if that was made before the store closed", answer)
	}
}

func TestBackupThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	p, other := ready(t, newPath(t), "ACCOUNTSERVICE_ADMIN_ADDR=off"), ready(t, newPath(t), anyAdmin)
	another := "ACCOUNTSERVICE_ADMIN_ADDR=" + strings.TrimPrefix(other.Admin(t), "http://")
	file := filepath.Join(t.TempDir(), "file.db")
	for name, c := range map[string]struct {
		path string
		env  []string
		args []string
		code int
		want string
	}{
		"admin off":       {p.Path, []string{"ACCOUNTSERVICE_ADMIN_ADDR=off"}, []string{"--to", file}, 1, "admin.addr is off"},
		"another service": {p.Path, []string{another}, []string{"--to", file}, 1, "has another database open than " + p.Path},
		"nothing listens": {p.Path, []string{"ACCOUNTSERVICE_ADMIN_ADDR=127.0.0.1:1"}, []string{"--to", file}, 1, "nothing listens on 127.0.0.1:1"},
		"no database":     {newPath(t), nil, []string{"--to", file}, 1, "no such file"},
		"no folder":       {p.Path, nil, []string{"--to", "/missing/file.db"}, 1, "it is not created here"},
		"no key":          {p.Path, nil, []string{"--to", "s3://bucket"}, 2, "backup.s3.access_key"},
		"PostgreSQL": {p.Path, []string{"ACCOUNTSERVICE_STORE_DRIVER=postgres", "ACCOUNTSERVICE_STORE_POSTGRES_URL=postgres://u:p@db/accounts"},
			[]string{"--to", file}, 2, "pg_dump"},
	} {
		t.Run(name, func(t *testing.T) {
			runs(t, with(command(c.path, append([]string{"backup"}, c.args...)...), c.env...)).is(t, c.code, "", c.want)
			absent(t, file)
		})
	}
}

// TestBackupWithAKeyThatMayOnlyPutIsStoredAndWarns: some have such keys, so that nobody can remove their backups.
func TestBackupWithAKeyThatMayOnlyPutIsStoredAndWarns(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>")
		}
	}))
	t.Cleanup(server.Close)
	env := []string{"ACCOUNTSERVICE_BACKUP_TO=s3://b/p", "ACCOUNTSERVICE_BACKUP_S3_ENDPOINT=" + server.URL,
		"ACCOUNTSERVICE_BACKUP_S3_ACCESS_KEY=a", "ACCOUNTSERVICE_BACKUP_S3_SECRET_KEY=b"}
	path := leftBehind(t)
	r := runs(t, with(command(path, "backup"), env...))
	r.is(t, 0, "", "it is stored, and the server refuses to list it: AccessDenied: Access Denied.")
	r.is(t, 0, "", "restore needs the name of a backup, and a start restores none\nbacked up 100 accounts")
	p := ready(t, path, env...)
	p.Says(t, "/health/checks/backup", "no backup is known; the last try failed: listing the backups in s3://b/p: AccessDenied")
	p.Says(t, "/health/checks/backup", "must have the right to list, get, put and delete objects")
}

func TestServiceMakesBackupsByItself(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "backups")
	harness.Must(t, os.Mkdir(dir, 0o700))
	p := ready(t, newPath(t), append(quick, anyAdmin, "ACCOUNTSERVICE_BACKUP_TO="+dir, "ACCOUNTSERVICE_BACKUP_SCHEDULE=1s",
		"ACCOUNTSERVICE_BACKUP_KEEP=2", "ACCOUNTSERVICE_BACKUP_MAX_AGE=4s")...)
	p.Put(t, "new", "New")
	harness.WaitFor(t, 30*time.Second, "two backups with the new account", func() bool {
		names := glob(t, filepath.Join(dir, "accounts-*.db"))
		for _, path := range names {
			if r, err := boltverify.Verify(t.Context(), path); err != nil || !r.Intact || r.Accounts != 101 {
				return false
			}
		}
		return len(names) == 2
	})
	p.Await(t, "/health/checks/backup", 200)
	if _, metrics := order(t, p, "GET", "/metrics", ""); !strings.Contains(metrics, "accountservice_backup_last_timestamp_seconds 1.") {
		t.Error("no metric of the last backup")
	}
	if _, page := order(t, p, "GET", "/status", ""); !strings.Contains(page, "Last backup accounts-") {
		t.Errorf("the page does not name the last backup: %s", page)
	}
	harness.Must(t, os.Rename(dir, dir+".gone"))
	p.Says(t, "/health/checks/backup", "older than backup.max_age (4s)")
	p.Says(t, "/health/checks/backup", "no such file or directory")
	p.Await(t, "/health", 200) // degrade
	p.Await(t, "/ready", 200)
	harness.Must(t, os.Rename(dir+".gone", dir))
	p.Await(t, "/health/checks/backup", 200)
	p.Stop(t, 0)
	backupsIn(t, dir)
}

// TestNewDatabaseKeepsTheBackupsOfALostVolume loses the database with its folder; the restart makes a new one.
func TestNewDatabaseKeepsTheBackupsOfALostVolume(t *testing.T) {
	dir := t.TempDir()
	env := []string{anyAdmin, "ACCOUNTSERVICE_BACKUP_TO=" + dir, "ACCOUNTSERVICE_BACKUP_SCHEDULE=1s", "ACCOUNTSERVICE_BACKUP_KEEP=1"}
	names := func() []string { return glob(t, filepath.Join(dir, "accounts-*.db")) }
	p := ready(t, newPath(t), append(quick, env...)...)
	harness.WaitFor(t, 30*time.Second, "a backup", func() bool { return len(names()) > 0 })
	p.Stop(t, 0)
	lost := names()
	newest := lost[len(lost)-1]
	for range 2 { // each has a new, empty volume
		p = ready(t, newPath(t), append(quick, env...)...)
		p.Says(t, "/health/checks/backup", "they are kept: restore one, or move them away")
		begun := time.Now()
		harness.WaitFor(t, 20*time.Second, "a backup", func() bool {
			all := names()
			b, _ := backup.ParseName(filepath.Base(all[len(all)-1]))
			return b.Time.After(begun.Add(2 * time.Second)) // two were made, and old ones removed
		})
		p.Stop(t, 0)
		if _, err := os.Stat(newest); err != nil {
			t.Errorf("of %q only %q is left: %v", lost, names(), err)
		}
	}
	p = ready(t, newPath(t), append(quick, env[:2]...)...) // makes one in 6 hours
	p.Says(t, "/health/checks/backup", "they are kept: restore one, or move them away")
}

// TestKilledBackupsLeaveNothingThatPassesForOne kills the command and the service while they make backups.
func TestKilledBackupsLeaveNothingThatPassesForOne(t *testing.T) {
	rounds, accounts := often(4, 50), often(5000, 20_000)
	path, dir := newPath(t), t.TempDir()
	addr := fmt.Sprint("127.0.0.1:", harness.Port(t))
	env := []string{fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", accounts), "ACCOUNTSERVICE_ADMIN_ADDR=" + addr}
	p := ready(t, path, env...)
	whole := 0
	for round := range rounds {
		cmd := command(path, "backup", "--to", dir, "--url", "http://"+addr)
		harness.Must(t, cmd.Start())
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond) // at any point of a backup
		if round%2 == 0 {
			cmd.Process.Kill()
			cmd.Wait()
		} else {
			p.Kill(t)
			if err := cmd.Wait(); err == nil {
				whole++
			}
			p = ready(t, path, env...)
		}
		for _, file := range glob(t, filepath.Join(dir, "accounts-*")) { // not what has a hidden name
			if _, ok := backup.ParseName(filepath.Base(file)); !ok {
				t.Errorf("round %d left %s", round, file)
			}
			wantAccounts(t, file, accounts)
		}
	}
	runs(t, command(path, "backup", "--to", dir, "--url", "http://"+addr)).is(t, 0, "", fmt.Sprint("backed up ", accounts, " accounts"))
	backupsIn(t, dir) // what was left on the way is removed
	if left := glob(t, filepath.Dir(path)+"/.*part"); len(left) > 0 {
		t.Errorf("beside the database there are %q", left)
	}
	p.Stop(t, 0)
	wantAccounts(t, path, accounts)
	t.Log(fmt.Sprint(rounds, " rounds; ", whole, " backups were done before the service was killed"))
}
