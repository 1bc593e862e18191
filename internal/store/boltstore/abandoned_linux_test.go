package boltstore

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"accountservice/internal/store/storetest"
)

func init() {
	childProcesses["open"] = func(args []string) {
		s, err := Open(context.Background(), Options{Path: args[0], RescueDir: args[1]})
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
	if err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("needs strace: %v", err)
	}
	for _, c := range []struct{ calls, left string }{
		{"?link,linkat", kindNew},                    // the database is not at its path yet
		{"?unlink,unlinkat", kindNew},                // it has two names
		{"?rename,?renameat,renameat2", kindWitness}, // which is not at its path yet
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
	for _, kind := range []string{kindNew, kindIncoming, kindReplaced + "20260102T030405.000Z-", kindWitness, kindStops, kindRestored} {
		writeFile(t, filepath.Join(dir, ".accounts.db."+kind+"1"), nil)
	}
	writeFile(t, filepath.Join(rescueDir, ".accounts.db."+kindProbe+"1"), nil)
	stay := []string{".accounts.db." + kindIncoming + "2", ".accounts.db." + kindRescue + "1", ".accounts.db.swp", ".other.db." + kindNew + "1",
		".accounts.db." + kindReplaced + "20260102T030405.000Z." + kindRescue + "1", // of the old database, served from its name
		".accounts.db." + kindNew + "by-hand"}
	for _, name := range stay {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
	}
	locked, err := os.Open(filepath.Join(dir, stay[0]))
	must(t, err)
	defer locked.Close()
	must(t, syscall.Flock(int(locked.Fd()), syscall.LOCK_EX))
	must(t, syscall.Mkfifo(filepath.Join(dir, ".accounts.db."+kindWitness+"fifo"), 0o600))
	s, _, err := tryOpen(t, path, Options{RescueDir: rescueDir})
	must(t, err)
	defer storetest.Close(t, s)
	stay = append(stay, ".accounts.db."+kindWitness+"fifo") // is none of ours
	slices.Sort(stay)
	if got := hidden(t, dir, rescueDir); !slices.Equal(got, stay) {
		t.Errorf("there are %q, want %q", got, stay)
	}
}

// Services whose databases have one name can share a folder for copies.
func TestProbeOfAFolderMayBeRemovedByAnother(t *testing.T) {
	one, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: t.TempDir()})
	must(t, err)
	other, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db"), RescueDir: one.rescueDir})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			other.removeAbandoned()
		}
	}()
	t.Cleanup(func() { <-done })
	for range 1000 {
		must(t, one.usableFolder())
	}
}

// TestStartsBesideEachOtherRemoveNoFileInUse has another process that starts remove what it takes for abandoned, all the
// time that new databases and their witnesses are made.
func TestStartsBesideEachOtherRemoveNoFileInUse(t *testing.T) {
	l, err := newLocation(Options{Path: filepath.Join(t.TempDir(), "accounts.db")})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			l.removeAbandoned()
		}
	}()
	t.Cleanup(func() { <-done })
	for range 50 {
		storetest.Close(t, openAt(t, l.path))
		must(t, os.Remove(l.path))
		must(t, os.Remove(witness(l.path)))
	}
}
