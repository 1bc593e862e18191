package boltstore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func init() {
	childProcesses["open"] = func(args []string) {
		s, err := boltstore.Open(context.Background(), boltstore.Options{Path: args[0], RescueDir: args[1]})
		if err == nil {
			err = s.Close(context.Background())
		}
		if err != nil {
			panic(err)
		}
	}
}

// hidden are the hidden files in some folders.
func hidden(t *testing.T, dirs ...string) (names []string) {
	t.Helper()
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") {
				names = append(names, entry.Name())
			}
		}
	}
	return names
}

// TestStartRemovesWhatAKilledStartLeft kills a start at the moment when it moves a temporary file to its path.
func TestStartRemovesWhatAKilledStartLeft(t *testing.T) {
	harness.NeedStrace(t)
	for _, c := range []struct{ calls, left string }{
		{"?link,linkat", "new-"},                    // the database is not at its path yet
		{"?unlink,unlinkat", "new-"},                // it has two names
		{"?rename,?renameat,renameat2", "witness-"}, // which is not at its path yet
	} {
		t.Run(c.calls, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "accounts.db")
			open := child("open", path, dir)
			traced := exec.Command("strace", append([]string{"-f", "-qq", "-o", os.DevNull, "-e", "trace=" + c.calls,
				"-e", "inject=" + c.calls + ":signal=KILL"}, open.Args...)...)
			traced.Env = open.Env
			if out, err := traced.CombinedOutput(); err == nil {
				t.Fatalf("it was not killed: %s", out)
			}
			if left := hidden(t, dir); len(left) != 1 || !strings.HasPrefix(left[0], ".accounts.db."+c.left) {
				t.Fatalf("the killed start left %q", left)
			}
			storetest.Close(t, openAt(t, path))
			wantAlone(t, path)
			wantIntact(t, path)
		})
	}
}

func TestStartRemovesTemporaryFilesThatNobodyHasLocked(t *testing.T) {
	dir, rescueDir := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "accounts.db")
	storetest.Close(t, openAt(t, path))
	for _, kind := range []string{"new-", "incoming-", "replaced-20260102T030405.000Z-", "witness-", "stops-", "restored-"} {
		writeFile(t, filepath.Join(dir, ".accounts.db."+kind+"1"), nil)
	}
	writeFile(t, filepath.Join(rescueDir, ".accounts.db.probe-1"), nil)
	stay := []string{".accounts.db.incoming-2", ".accounts.db.rescue-1", ".accounts.db.swp", ".other.db.new-1",
		".accounts.db.replaced-20260102T030405.000Z.rescue-1", // of the old database, served from its name
		".accounts.db.new-by-hand"}
	for _, name := range stay {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
	}
	locked, err := os.Open(filepath.Join(dir, stay[0]))
	must(t, err)
	defer locked.Close()
	must(t, syscall.Flock(int(locked.Fd()), syscall.LOCK_EX))
	must(t, syscall.Mkfifo(filepath.Join(dir, ".accounts.db.witness-fifo"), 0o600))
	s, _, err := tryOpen(t, path, boltstore.Options{RescueDir: rescueDir})
	must(t, err)
	defer storetest.Close(t, s)
	stay = append(stay, ".accounts.db.witness-fifo") // is none of ours
	slices.Sort(stay)
	if got := hidden(t, dir, rescueDir); !slices.Equal(got, stay) {
		t.Errorf("there are %q, want %q", got, stay)
	}
}
