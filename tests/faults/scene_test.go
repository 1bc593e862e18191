//go:build linux

package faults

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// scene is one row while it is played.
type scene struct {
	*testing.T
	fault
	row   *row
	place *place
	path  string
	env   []string
	as    *syscall.Credential // who runs the service, if not this process's user
	svc   *service
	load  *load
	began time.Time // when the fault began
	fds   int
	tasks int
}

// play makes a place, runs the service on it, does the fault, and fills row.
func play(t *testing.T, f fault, row *row) {
	s := &scene{T: t, fault: f, row: row}
	s.seeds = cmp.Or(s.seeds, 2000)
	s.every = cmp.Or(s.every, 20*time.Millisecond)
	s.want.health = cmp.Or(s.want.health, http.StatusServiceUnavailable)
	s.want.check = cmp.Or(s.want.check, "bolt")
	if s.want.unseen != "" {
		s.want.within = cmp.Or(s.want.within, 2*bound)
	}
	s.want.within = cmp.Or(s.want.within, bound)
	if s.repair == nil && f.place.repaired() != "" && s.want.restart != damaged {
		s.repair, s.mended = mountAgain, f.place.repaired()
	}
	if s.fault.watch == nil {
		s.fault.watch = (*scene).watchHealth
	}
	defer row.report(t)
	s.open()
	s.load.forget(everything)
	s.began = time.Now()
	s.damage()
	s.fault.watch(s)
	s.then(s.after)
	s.clients()
	s.end()
	s.restart()
}

// damage does the fault.
func (s *scene) damage() {
	if s.paused {
		s.load.still()
	}
	if s.harm != nil {
		d := openFile(s.T, s.path)
		d.far = fmt.Sprint(10000 + s.seeds*3/4)
		s.harm(d)
	}
	if s.device != nil {
		s.place.medium.ill.Store(&s.device)
	}
	s.then(s.do)
	if s.paused {
		s.load.quiet.Store(false)
	}
}

// then does a part of a row, if the row has it.
func (s *scene) then(part func(*scene)) {
	if part != nil {
		part(s)
	}
}

func (s *scene) must(err error) { s.Helper(); harness.Must(s.T, err) }

func (s *scene) bad(format string, args ...any) { s.row.bad(format, args...) }

// open brings everything to the moment before the fault.
func (s *scene) open() {
	dir, err := os.MkdirTemp(root, "place-")
	s.must(err)
	s.must(os.Chmod(dir, 0o755))
	s.place = newPlace(s.T, s.fault.place, dir)
	s.path = filepath.Join(s.place.dir, "accounts.db")
	s.env = append([]string{fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", s.seeds)}, s.fault.env...)
	s.then(s.setUp)
	s.svc = startService(s.T, s.path, s.as, s.env...)
	s.must(s.svc.healthy(20 * time.Second))
	s.load = newLoad(s.svc.URL)
	s.load.long = s.long
	s.load.tick(s.every, &s.load.quiet, s.load.write)
	s.load.tick(min(max(s.every, 20*time.Millisecond), 60*time.Millisecond), &s.load.deaf, s.load.read)
	if !harness.Until(20*time.Second, func() bool { return s.load.acks.Load() >= 50 }) {
		s.Fatal("not 50 writes are acknowledged")
	}
	if s.still {
		s.load.still()
	}
	s.then(s.prepare)
	s.fds, s.tasks = s.svc.holds()
}

// memoryLimit is what a process with some thousand accounts never needs.
const memoryLimit = 512 << 20

// turned says whether an answer shows the fault as the row wants it shown.
func (s *scene) turned(a answer) bool {
	return a.code != 200 || s.want.health == 200 && a.Failures[s.want.check] != ""
}

// watchHealth polls until /health turns, and some time longer than it may take.
func (s *scene) watchHealth() {
	limit := s.want.within + bound
	if s.want.unseen != "" {
		limit = s.want.within
	}
	var a answer
	harness.Until(limit, func() bool {
		a = s.svc.ask("/health")
		return s.turned(a) || !s.svc.Running()
	})
	s.row.health = a.String()
	if s.turned(a) {
		s.row.found, s.row.took = true, time.Since(s.began)
		s.row.words = s.plain(a.words(s.want.check))
	}
	code := s.others()
	switch {
	case s.want.unseen != "" && !s.row.found:
		s.row.words = "not seen: " + s.want.unseen
	case s.want.unseen != "":
		s.bad("seen, and it is no reason to be: /health = %s %s", a, a.words(""))
	case !s.row.found:
		s.bad("not found within %s: /health = %s", limit, a)
	case a.code == 0 && !s.want.dies:
		s.bad("/health gives no answer: %s", a.silence)
	case a.code != s.want.health:
		s.bad("/health = %d (%s), want %d", a.code, a.words(""), s.want.health)
	case s.row.took > s.want.within:
		s.bad("found after %s, later than %s", s.row.took.Round(100*time.Millisecond), s.want.within)
	}
	if s.row.found && (code == 1) != (s.want.health == 503) {
		s.bad("the probe exits with %d after a /health of %s: %s", code, a, s.row.probe)
	}
}

// others asks /ready and the probe, which follow /health, and returns the exit code of the probe.
func (s *scene) others() (code int) {
	s.row.ready = s.svc.ask("/ready").String()
	code, line := s.svc.probe()
	s.row.probe = fmt.Sprint(code)
	// what the probe repeats of /health needs no second place in the table
	known := strings.TrimSuffix(s.row.words[:min(60, len(s.row.words))], "…")
	if line = s.plain(line); code != 0 && line != "" && (known == "" || !strings.Contains(line, known)) {
		s.row.probe += ", " + line
	}
	return code
}

// clients ends the load and judges what it got.
func (s *scene) clients() {
	if s.row.found { // some more requests, now that the service knows
		<-time.After(time.Second)
	}
	s.load.end()
	codes, slowest := s.load.seen()
	s.row.requests = strings.Join(codes, ", ")
	allowed := strings.Fields("200 201 503 " + s.want.codes)
	for _, code := range codes {
		if _, got, _ := strings.Cut(code, " "); !slices.Contains(allowed, got) && !s.want.dies {
			s.bad("a request got %q", code)
		}
	}
	if slowest > requestLimit && !s.want.dies {
		s.bad("a request took %s, longer than %s", slowest.Round(100*time.Millisecond), requestLimit)
	}
	for _, fault := range s.load.faults {
		s.bad("%s", fault)
	}
}

// end judges the process and stops it.
func (s *scene) end() {
	if !s.svc.Running() {
		s.row.process = fmt.Sprint("ended, exit ", s.svc.Code())
		if s.svc.Code() < 0 {
			s.row.process = "ended, by a signal"
		}
		if !s.want.dies {
			s.bad("the process ended: exit %d", s.svc.Code())
		}
		return
	}
	if s.want.dies {
		s.bad("the process lives")
	}
	fds, tasks := s.svc.holds()
	harness.Until(2*time.Second, func() bool { // connections of the clients take a moment to go
		fds, tasks = s.svc.holds()
		return fds <= s.fds
	})
	s.row.process = "lives"
	if fds > s.fds+8 || tasks > s.tasks+80 {
		s.bad("%d file descriptors and %d threads are left, %d and %d before", fds, tasks, s.fds, s.tasks)
	}
	peak := harness.Memory(s.svc.Cmd.Process.Pid, "VmHWM")
	s.Logf("file descriptors %d -> %d, threads %d -> %d, at most %d MiB of memory", s.fds, fds, s.tasks, tasks, peak>>20)
	if peak > memoryLimit {
		s.bad("the process took more than %d MiB of memory", memoryLimit>>20)
	}
	want := s.want.exit
	if s.svc.ask("/health").code != 200 {
		want = 3
	}
	how := s.svc.stop()
	s.row.stop = how.String()
	switch {
	case how.held && how.said: // all that a process can do
	case how.killed:
		s.bad("still there 25 s after SIGTERM")
	case how.code != want:
		s.bad("exit code %d, want %d", how.code, want)
	}
}

// plain makes words comparable between runs: no path and no moment of this one.
func (s *scene) plain(words string) string {
	words = strings.ReplaceAll(words, s.place.dir+"/", "")
	words = strings.ReplaceAll(words, s.place.dir, "its folder")
	words = strings.ReplaceAll(words, filepath.Dir(s.place.dir)+"/", "") // what a row has beside its place
	return plain(words, root)
}

func (s *scene) kill(signal syscall.Signal) { s.must(s.svc.Cmd.Process.Signal(signal)) }
