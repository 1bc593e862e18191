package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/backup"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/tests/harness"
)

// backupOf returns a folder with one backup, which has so many accounts.
func backupOf(t *testing.T, accounts int, made time.Time) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	path := newPath(t)
	p := ready(t, path, fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", accounts))
	p.Stop(t, 0)
	report, err := boltverify.Verify(t.Context(), path)
	harness.Must(t, err)
	file = filepath.Join(dir, backup.NameOf(made, report.Transaction))
	copied(t, path, file)
	return dir, file
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	harness.Must(t, err)
	return found
}

func copied(t *testing.T, from, to string) {
	t.Helper()
	b := []byte(harness.Read(t, from))
	harness.Must(t, os.WriteFile(to, b, 0o600))
}

// wantAccounts wants a whole database with so many accounts at path.
func wantAccounts(t *testing.T, path string, accounts int) {
	t.Helper()
	report, err := boltverify.Verify(t.Context(), path)
	if err != nil || !report.Intact || report.Accounts != accounts {
		t.Errorf("%s: %+v, %v; want it whole, with %d accounts", path, report, err, accounts)
	}
}

// wantFiles wants these files beside a database, by their names after its own.
func wantFiles(t *testing.T, path string, suffixes ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	harness.Must(t, err)
	if len(entries) != len(suffixes) {
		t.Errorf("%v, want %d files", entries, len(suffixes))
	}
	for i, entry := range entries {
		if i < len(suffixes) && !strings.HasPrefix(entry.Name(), filepath.Base(path)+suffixes[i]) {
			t.Errorf("%s is there, want %s%s", entry.Name(), filepath.Base(path), suffixes[i])
		}
	}
}

func TestRestoreOfEachSourceOntoNothing(t *testing.T) {
	t.Parallel()
	dir, file := backupOf(t, 30, time.Now().Add(-90*time.Minute))
	plain := filepath.Join(t.TempDir(), "x.db")
	copied(t, file, plain)
	for name, from := range map[string]string{"a folder": dir, "a backup": file, "a file": plain, "standard input": "-"} {
		path := newPath(t)
		cmd := command(path, "restore", from)
		in, err := os.Open(file)
		harness.Must(t, err)
		defer in.Close()
		cmd.Stdin = in
		got := runs(t, cmd)
		got.is(t, 0, "restored 30 accounts", "")
		if want := map[string]string{
			"a folder": "(1h30m", "a backup": "(1h30m", "a file": "not known when it was made; the file was last changed ",
			"standard input": "not known when it was made\n",
		}[name]; !strings.Contains(got.Stdout, want) {
			t.Errorf("%s: no %q in %s", name, want, got.Stdout)
		}
		wantAccounts(t, path, 30)
		wantFiles(t, path, "")
	}
	path := newPath(t)
	runs(t, command(path, "restore", "--dry-run", dir)).is(t, 0, "whole: 30 accounts", "")
	wantFiles(t, path)
	future := filepath.Join(t.TempDir(), backup.NameOf(time.Now().AddDate(1, 0, 0), 1))
	copied(t, file, future)
	runs(t, command(path, "restore", "--dry-run", future)).is(t, 0, "(in the future, so a clock is or was wrong)", "")
	runs(t, command(path, "restore", t.TempDir())).is(t, 1, "", "to restore a file of another name, name the file")
	runs(t, command(path, "restore", "ftp://x/y")).is(t, 2, "", "must be a folder or s3://")
	runs(t, command(path, "restore", filepath.Join(dir, "none"))).is(t, 1, "", "no such file")
	runs(t, command(path, "restore")).is(t, 2, "", "name what to restore")
	wantFiles(t, path)
}

func TestBackupWithDamagedRecordsIsNotCalledWhole(t *testing.T) {
	t.Parallel()
	_, file := backupOf(t, 30, time.Now())
	damaged := strings.ReplaceAll(harness.Read(t, file), "Person_7", "Person_X")
	harness.Must(t, os.WriteFile(file, []byte(damaged), 0o600))
	runs(t, command(newPath(t), "restore", "--dry-run", file)).is(t, 0, "not all whole: 30 accounts", "")
}

func TestRestoreReplacesOnlyWhenItMay(t *testing.T) {
	t.Parallel()
	dir, file := backupOf(t, 30, time.Now())
	_, other := backupOf(t, 40, time.Now())
	_, none := backupOf(t, 0, time.Now())
	changed := func(change func(b []byte) []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			b := []byte(harness.Read(t, other))
			harness.Must(t, os.WriteFile(path, change(b), 0o600))
		}
	}
	for name, c := range map[string]struct {
		there func(t *testing.T, path string)
		says  string // nothing: it is replaced without --force
	}{
		"a database with accounts": {func(t *testing.T, path string) { copied(t, other, path) }, "it has 40 accounts"},
		"the same, newer": {func(t *testing.T, path string) {
			copied(t, file, path)
			p := ready(t, path)
			p.Put(t, "new", "New")
			p.Stop(t, 0)
		}, "it is newer"},
		"in use":       {func(t *testing.T, path string) { ready(t, path) }, "answers 503 until it is restarted"},
		"damaged":      {changed(func(b []byte) []byte { clear(b[:8192]); return b }), "the database is damaged"},
		"a saved copy": {func(t *testing.T, path string) { copied(t, other, path+".rescued-1") }, ".rescued-1 was saved"},
		"empty file":   {changed(func([]byte) []byte { return nil }), ""},
		"no accounts":  {func(t *testing.T, path string) { copied(t, none, path) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			c.there(t, path)
			before, err := os.ReadDir(filepath.Dir(path))
			harness.Must(t, err)
			if c.says != "" {
				for _, args := range [][]string{{"restore", dir}, {"restore", "--dry-run", dir}} {
					runs(t, command(path, args...)).is(t, 1, "", c.says)
				}
			}
			runs(t, command(path, "restore", "--dry-run", "--force", dir)).is(t, 0, "nothing was changed", "")
			if after, err := os.ReadDir(filepath.Dir(path)); err != nil || len(after) != len(before) {
				t.Errorf("files were made: %v, %v", after, err)
			}
			args := []string{"restore", dir}
			if c.says != "" {
				args = append(args, "--force")
			}
			runs(t, command(path, args...)).is(t, 0, "restored 30 accounts", "")
			if name != "in use" { // that service makes files too
				wantAccounts(t, path, 30)
			}
		})
	}
}

func TestRestoreObjectsToACopyInTheRescueFolder(t *testing.T) {
	t.Parallel()
	dir, file := backupOf(t, 30, time.Now())
	path, rescued := newPath(t), filepath.Join(t.TempDir(), "accounts.db.rescued-1")
	copied(t, file, rescued)
	runs(t, with(command(path, "restore", dir), "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+filepath.Dir(rescued))).is(t, 1, "", rescued+" was saved")
	wantFiles(t, path)
}

// TestSavedCopyIsRestored: the objection to restoring anything else says to do it.
func TestSavedCopyIsRestored(t *testing.T) {
	t.Parallel()
	_, file := backupOf(t, 30, time.Now())
	path := newPath(t)
	saved, another := path+".rescued-1", path+".rescued-2"
	copied(t, file, saved)
	copied(t, file, another)
	runs(t, command(path, "restore", saved)).is(t, 1, "", another+" was saved")
	harness.Must(t, os.Remove(another))
	runs(t, command(path, "restore", saved)).is(t, 0, "restored 30 accounts", "")
	wantFiles(t, path, "", ".rescued-1")
}

func TestWhatARestoreReplacesIsKeptAsItWas(t *testing.T) {
	t.Parallel()
	dir, _ := backupOf(t, 30, time.Now())
	_, other := backupOf(t, 40, time.Now())
	path := newPath(t)
	copied(t, other, path)
	harness.Must(t, os.Chmod(path, 0o640))
	if os.Geteuid() == 0 {
		harness.Must(t, os.Chown(path, 65532, 65532))
	}
	runs(t, command(path, "restore", "--force", dir)).is(t, 0, "kept:     "+path+".replaced-", "")
	wantFiles(t, path, "", ".replaced-")
	wantAccounts(t, path, 30)
	kept := glob(t, path+".replaced-*")
	for _, file := range append(kept, path) {
		info, err := os.Stat(file)
		harness.Must(t, err)
		if info.Mode().Perm() != 0o640 || os.Geteuid() == 0 && info.Sys().(*syscall.Stat_t).Uid != 65532 {
			t.Errorf("%s: mode %s, owner %d", file, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		}
	}
	wantAccounts(t, kept[0], 40)
	p := ready(t, path)
	p.Await(t, "/accounts/10029", 200)
	p.Await(t, "/accounts/10030", 404)
}

func TestRestoreIsDoneAlsoIfTheNoticeOfAnEarlierOneStays(t *testing.T) {
	t.Parallel()
	dir, _ := backupOf(t, 30, time.Now())
	path := newPath(t)
	harness.Must(t, os.MkdirAll(path+".restored/x", 0o700)) // cannot be removed
	runs(t, command(path, "restore", dir)).is(t, 0, "restored 30 accounts", "the notice of an earlier restore stays")
	wantAccounts(t, path, 30)
}

func TestRestoreCuresALostDatabase(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := ready(t, path)
	p.Stop(t, 0)
	dir, _ := backupOf(t, 30, time.Now())
	harness.Must(t, os.Remove(path))
	p = start(t, path, restores(dir)...) // which is for a first start alone
	p.Exits(t, 1)
	p.Logs(t, "accountservice restore")
	wantFiles(t, path, ".stops", ".witness")
	runs(t, command(path, "restore", dir)).is(t, 0, "is gone, and its witness is there", "")
	p = ready(t, path)
	p.Await(t, "/accounts/10029", 200)
	p.Logs(t, "taken as a restore")
}

func TestServiceWhoseDatabaseIsReplacedByForceEndsAndTheNextServesTheBackup(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := ready(t, path, quick...)
	dir, _ := backupOf(t, 30, time.Now())
	runs(t, command(path, "restore", "--force", dir)).is(t, 0, "in use by a service", "")
	p.Await(t, "/health", 503)
	p.Stop(t, 3)
	p = ready(t, path)
	p.Await(t, "/accounts/10029", 200)
	p.Await(t, "/accounts/10030", 404)
}

// TestKilledRestoreLeavesTheOldOrTheNewDatabase kills it at any time. STORE_TEST_LONG=1 does it 50 times.
func TestKilledRestoreLeavesTheOldOrTheNewDatabase(t *testing.T) {
	rounds, now, next := often(6, 50), often(2500, 10_000), often(5000, 20_000)
	dirs := map[int]string{}
	for _, accounts := range []int{now, next} {
		dirs[accounts], _ = backupOf(t, accounts, time.Now())
	}
	path := newPath(t)
	begun := time.Now()
	runs(t, command(path, "restore", dirs[now])).is(t, 0, fmt.Sprint("restored ", now, " accounts"), "")
	whole := time.Since(begun)
	killed, done := 0, 0
	for round := 0; round < rounds || killed == 0 && round < 10*rounds; round++ { // on a busy machine kills can be late
		cmd := command(path, "restore", "--force", dirs[next])
		for _, kept := range glob(t, path+".replaced-*") {
			harness.Must(t, os.Remove(kept))
		}
		harness.Must(t, cmd.Start())
		late := time.Now().Add(rand.N(whole * 5 / 4)) // the moment of the kill is what is tried
		for round%2 == 0 && len(glob(t, path+".replaced-*")) == 0 && time.Since(late) < time.Minute {
			late = time.Now().Add(rand.N(25 * time.Millisecond)) // or one of those after the old database was kept
		}
		time.Sleep(time.Until(late))
		cmd.Process.Kill()
		if cmd.Wait(); cmd.ProcessState.Success() {
			done++
		} else {
			killed++
		}
		report, err := boltverify.Verify(t.Context(), path)
		if err != nil || !report.Intact || report.Accounts != now && report.Accounts != next {
			t.Fatalf("%+v, %v; want %d or %d accounts", report, err, now, next)
		}
		if report.Accounts == next {
			now, next = next, now
		}
	}
	t.Logf("%d killed, %d done", killed, done)
	if killed == 0 {
		t.Errorf("no restore was killed")
	}
	runs(t, command(path, "restore", "--force", dirs[next])).is(t, 0, "restored", "")
	if left := glob(t, filepath.Dir(path)+"/.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
