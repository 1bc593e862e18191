//go:build linux

package swarm

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// imageUser is the user and group of the image.
const imageUser = 65532

// fault is something that makes a task unable to work, done to it from outside.
type fault struct {
	name string
	// folder, if not nil, makes the folder of this machine that stands for the
	// volume, because the fault needs a file system of its own.
	folder func(t *testing.T, f *fault) string
	// prepare is done before the task is broken.
	prepare func(s *stack, i image)
	do      func(s *stack, k task)
	// cured is called when the sick task has ended.
	cured func()

	dies  bool   // the process ends by itself, before any probe can fail
	code  int    // of the sick task
	probe string // what its last probe says, among other things

	serves  string // the name of account 10000 with the replacement, or
	refuses string // what the log of a replacement says that does not start
}

// faults are all that must end a task. What must not is in calm_test.go.
func faults() []*fault {
	other := unique("restored")
	return []*fault{{
		name:    "another database renamed over the file",
		prepare: func(s *stack, i image) { s.makeOther(i, other) },
		do: func(s *stack, _ task) {
			// the copy goes beside the file first, for only within one file system a move is a rename; only the copy is
			// synced, because another disk of this machine may hang
			s.onVolume("cp -p /from/accounts.db /to/.restored && chown 65532:65532 /to/.restored && sync /to/.restored && "+
				"mv -f /to/.restored /to/accounts.db", "--volume", other+":/from:ro")
		},
		code: 3, serves: "Restored_0",
	}, {
		name: "the process hangs (SIGSTOP)",
		do:   (*stack).hang,
		code: 137, serves: "Kept",
	}, {
		name: "the store hangs in a commit: its disk does not end it",
		folder: func(t *testing.T, f *fault) string {
			disk := newHangingDisk(t)
			f.do, f.cured = disk.hang, disk.cure
			return disk.dir
		},
		code: 3, serves: "Kept",
	}, {
		name: "its listener is gone",
		do:   func(s *stack, k task) { s.shutListener(k) },
		dies: true, code: 1, serves: "Kept",
	}, {
		name: "the database is cut",
		do:   func(s *stack, _ task) { s.onVolume("truncate -s 8192 /to/accounts.db") },
		code: 3, refuses: "is cut short",
	}, {
		name: "the database is deleted",
		do:   func(s *stack, _ task) { s.onVolume("rm /to/accounts.db") },
		code: 3, probe: "were put back at the path", serves: "Kept",
	}}
}

// play deploys the stack, breaks its task, and follows what becomes of it.
func (f *fault) play(d docker, i image) {
	t := d.t
	var more []string
	if f.folder != nil {
		needRoot(t)
		more = append(more, dataFrom(f.folder(t, f)))
	}
	s := newStack(d)
	if f.prepare != nil {
		f.prepare(s, i)
	}
	s.deploy(i.name, more...)
	sick := s.healthyTask()
	s.rename(s.url, "10000", "Kept")
	if f.folder == nil { // one of a fault is no good volume
		s.wantDetailedHealth(s.url, i.version)
	}
	seen := s.watch("10000")

	row := outcome{name: f.name}
	broken := time.Now()
	f.do(s, sick)
	known := broken // from when on nothing of the sick task may be served
	if !f.dies {
		known = s.unhealthyAt(sick, broken)
		row.unhealthy = known.Sub(broken)
	}
	ended, at := s.end(sick)
	row.ended, row.code, row.why = at.Sub(broken), ended.Status.ContainerStatus.ExitCode, ended.Status.Err
	if row.code != f.code || ended.Status.State != "failed" {
		t.Errorf("%v, want failed with exit code %d", ended, f.code)
	}
	if !f.dies {
		row.probe = s.probeLine(sick)
		if !strings.Contains(row.probe, f.probe) || !strings.Contains(row.why, "unhealthy") {
			t.Errorf("the probe says %q, want %q; docker service ps %q, want that it was unhealthy", row.probe, f.probe, row.why)
		}
	}
	if f.cured != nil {
		f.cured()
	}
	if f.refuses != "" {
		f.wantRefusal(s, sick, seen, known, &row)
	} else {
		f.wantService(s, sick, seen, at, broken, &row)
	}
	publish(t, row)
}

// wantService waits for the replacement and looks at what it serves.
func (f *fault) wantService(s *stack, sick task, seen *watch, ended, broken time.Time, row *outcome) {
	s.healthyTask(sick.ID)
	s.eventually(patience, "an answer of the replacement", func() (bool, string) {
		for _, first := range seen.seen(false, ended) {
			if first.status == http.StatusOK {
				row.serves = first.at.Add(first.took).Sub(broken)
				return true, ""
			}
		}
		return false, "none"
	})
	s.wantAccount(s.url, "10000", f.serves)
	s.wantAccount(s.url, "10099", "Person_99")
}

// wantRefusal waits until two replacements have refused to start, and wants
// that they said why and that nothing was served since the fault was known.
func (f *fault) wantRefusal(s *stack, sick task, seen *watch, known time.Time, row *outcome) {
	t := s.t
	var refused []task
	s.eventually(patience, "two replacements that refuse to start", func() (bool, string) {
		all, err := s.tasks()
		refused = slices.DeleteFunc(slices.Clone(all), func(k task) bool {
			return k.ID == sick.ID || k.Status.State != "failed"
		})
		return err == nil && len(refused) >= 2, fmt.Sprint(all, err)
	})
	seen.stop()
	for _, answer := range append(seen.seen(false, known), seen.seen(true, known)...) {
		// without a database there is no 200, and nobody knows that there is no such account
		if answer.status == http.StatusOK || answer.status == http.StatusNotFound {
			t.Errorf("after the fault was known there was service: %d, of /health: %t", answer.status, answer.health)
			break
		}
	}
	for _, k := range refused {
		if k.Status.ContainerStatus.ExitCode != 1 || k.Status.Err == "" {
			t.Errorf("%v, want exit code 1 and an error", k)
		}
	}
	row.why += "; then " + refused[0].Status.Err
	log := s.logs("service", "logs", "--raw", s.service())
	if !strings.Contains(log, f.refuses) {
		t.Errorf("the log does not say %q:\n%s", f.refuses, log)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, f.refuses) && strings.Contains(line, `"exit_code":1`) {
			_, said, _ := strings.Cut(line, `"err":"`)
			row.says, _, _ = strings.Cut(said, `"}`)
		}
	}
}

// makeOther makes another good database in a volume of its own.
func (s *stack) makeOther(i image, name string) {
	s.volume(name)
	url := s.start(i.name, name, name)
	s.eventually(patience, "the other service", func() (bool, string) { return s.answers(url + "/health") })
	s.rename(url, "10000", "Restored_0")
	if code := s.stop(name); code != 0 {
		s.t.Fatalf("exit code %d, want 0: the copy must be clean", code)
	}
}

// onVolume runs a script on the volume of the service, for the image has no shell.
func (s *stack) onVolume(script string, more ...string) {
	s.t.Helper()
	args := append([]string{"run", "--rm", "--network", "none", "--volume", s.name + "_accounts:/to"}, more...)
	s.run(append(args, baseName(s.t), "sh", "-c", script)...)
}

// shutListener shuts down the listening socket of the service: there is nothing in the container that could do it.
func (s *stack) shutListener(k task) {
	needRoot(s.t)
	harness.Must(s.t, harness.ShutListener(s.containerOf(k).State.Pid))
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("SWARM_TEST=1 needs root: it mounts, and reaches into another process")
	}
}

// dataFrom is a piece of stack file that puts a folder of this machine where the volume is.
func dataFrom(dir string) string {
	return fmt.Sprintf("services:\n  accountservice:\n    volumes:\n      - {type: bind, source: %q, target: /data}\n", dir)
}

// newMemory mounts a file system of a size that is easily filled.
func newMemory(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	harness.Must(t, syscall.Mount("accountservice-swarm", dir, "tmpfs", 0, fmt.Sprintf("size=%s,mode=0755,uid=%d,gid=%d", size, imageUser, imageUser)))
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
