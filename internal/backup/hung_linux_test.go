package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/backup"
	"accountservice/tests/harness"
)

func TestServeRemoteFolder(*testing.T) { harness.ServeRemoteFolder() }

// step is what a Scheduler does next, at which a remote folder hangs.
type step string

// hangs is a target in a remote folder that hangs from the next of this step on, and staging in it.
type hangs struct {
	backup.Target
	next  atomic.Pointer[step]
	hang  func()
	prune bool // it was put into: the next List is that of prune, and no step
}

// at reports whether it hangs from this step on.
func (h *hangs) at(now step) bool {
	next := h.next.Load()
	if next == nil || *next != now {
		return false
	}
	h.next.Store(nil)
	h.hang()
	return true
}

func (h *hangs) List(ctx context.Context) ([]backup.Backup, error) {
	if h.prune {
		h.prune = false
		return h.Target.List(ctx)
	}
	h.at("list")
	defer h.at("listed")
	return h.Target.List(ctx)
}

func (h *hangs) Put(ctx context.Context, name string, f *os.File) error {
	h.at("put")
	err := h.Target.Put(ctx, name, f)
	h.prune = err == nil
	return err
}

func (h *hangs) Staging() string {
	h.at("stage")
	return h.Target.Staging()
}

// hanging runs a Scheduler of a remote folder, which hangs at a step after the first backup.
func hanging(t *testing.T, at step) (s *backup.Scheduler, remote *harness.RemoteFolder, stop func()) {
	t.Helper()
	remote = harness.NewRemoteFolder(t)
	s = scheduled(t, remote.Path)
	s.PatienceForTest(500 * time.Millisecond)
	s.Every = 50 * time.Millisecond
	s.MaxAge = 1 // so that the check fails, and says what it knows
	hung := make(chan struct{})
	target := &hangs{Target: s.Target, hang: func() { remote.Hang(t); close(hung) }}
	whole := s.Make
	s.Target, s.Make = target, func(ctx context.Context, f *os.File) (backup.Content, error) {
		if target.at("make") { // as when the time for it is over
			return backup.Content{}, errors.New("a disk does not answer")
		}
		return whole(ctx, f)
	}
	stop = running(s)
	wantMade(t, s)
	target.next.Store(&at)
	<-hung
	return s, remote, stop
}

// wantMade wants another backup to be made.
func wantMade(t *testing.T, s *backup.Scheduler) {
	t.Helper()
	before := s.MadeForTest()
	if !harness.Until(30*time.Second, func() bool { return s.MadeForTest() > before }) {
		t.Fatalf("no backup is made: %v", s.Check(t.Context()))
	}
}

// wantCalls wants goroutines that wait for a disk, and no more of them.
func wantCalls(t *testing.T, most int) {
	t.Helper()
	var stacks bytes.Buffer
	harness.Must(t, pprof.Lookup("goroutine").WriteTo(&stacks, 2))
	if got := bytes.Count(stacks.Bytes(), []byte("bounded.Call[...].func1(")); got == 0 || got > most {
		t.Errorf("%d goroutines wait for the disk, want 1 to %d", got, most)
	}
}

// TestHungFolderIsToldAndUsedWhenItAnswers: each call that hangs costs one goroutine, however often it is tried again.
func TestHungFolderIsToldAndUsedWhenItAnswers(t *testing.T) {
	for _, row := range []struct {
		at    step
		calls int
		told  string
	}{
		{"list", 1, "an earlier call has not returned, so the file system hangs"},
		{"listed", 2, " answer?"}, // to open the newest, and to verify it, which waits for that
		{"stage", 1, " answer?"},
		{"make", 2, "an earlier call has not returned, so the file system hangs"}, // to discard and to list
		{"put", 1, " answer?"},
	} {
		t.Run(string(row.at), func(t *testing.T) {
			s, remote, stop := hanging(t, row.at)
			defer stop()
			defer remote.Answer(t)
			if !harness.Until(20*time.Second, func() bool { return strings.Contains(fmt.Sprint(s.Check(t.Context())), row.told) }) {
				t.Errorf("the check says %v, want %q", s.Check(t.Context()), row.told)
			}
			wantCalls(t, row.calls)
			remote.Answer(t)
			wantMade(t, s)
		})
	}
}

func TestStopDoesNotWaitForAHungFolder(t *testing.T) {
	for _, at := range []step{"list", "listed", "stage", "make", "put"} {
		t.Run(string(at), func(t *testing.T) {
			_, remote, stop := hanging(t, at)
			defer remote.Answer(t)
			began := time.Now()
			stop()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestFolderThatIsUnmountedGetsNoBackup: what is written into the folder beneath is hidden by the next mount, or ends
// with its container.
func TestFolderThatIsUnmountedGetsNoBackup(t *testing.T) {
	dir := t.TempDir()
	unmount := harness.SmallDisk(t, dir, "size=1m")
	synctest.Test(t, func(t *testing.T) {
		s := scheduled(t, dir)
		defer running(s)()
		pass(time.Hour)
		made := at(t, dir)
		unmount()
		pass(12 * time.Hour)
		if got := at(t, dir); len(got) > 0 {
			t.Errorf("the folder beneath has %q", got)
		}
		wantCheck(t, s, true, "on another file system than before, without "+made[0]+": mount that one again")
		pass(12 * time.Hour)
		wantCheck(t, s, false, "older than backup.max_age", "mount that one again")
		harness.Must(t, os.WriteFile(filepath.Join(dir, made[0]), []byte("whole"), 0o600)) // as a network has it, mounted again
		pass(20 * time.Minute)
		wantCheck(t, s, false)
	})
}
