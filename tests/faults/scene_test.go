//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The published defaults of every check, which are what is measured.
const (
	interval  = 2 * time.Second
	timeout   = 1 * time.Second
	failAfter = 2
	bound     = interval*failAfter + timeout + time.Second
	walkStep  = 1024 // accounts that the records check decodes in one run
)

// walkBound is the time in which a check that reads a slice of all accounts at
// each run has read them all, and then turned.
func walkBound(accounts int) time.Duration {
	return time.Duration(accounts/walkStep+1)*interval + bound
}

// fault is one row of the table: what is done to a running service, and what
// must come of it.
type fault struct {
	name  string
	place kind
	seeds int // default 2000
	every time.Duration
	long  bool // writes make the file grow
	alone bool // with no other row beside it
	env   []string
	later []string // more environment, for starts after the fault

	setUp   func(*scene) // before the service starts
	prepare func(*scene) // before the clock runs
	do      func(*scene)
	watch   func(*scene) // instead of waiting for /health to turn
	after   func(*scene) // while the clients still run
	repair  func(*scene) // after the restart on the sick place; the service must then serve everything
	mended  string       // what repair is, in the table

	want want
}

// want is what a row expects.
type want struct {
	health   int           // of /health: 503 where 0
	check    string        // the check that says it; bolt where ""
	within   time.Duration // bound where 0
	unseen   string        // why it cannot be seen, and what is seen instead
	dies     bool          // the process ends by it
	stuck    bool          // the kernel may keep processes until the repair
	codes    string        // answers that requests may get, beside 200, 201 and 503
	exit     int           // of the stop of a service whose /health is 200
	restart  restart
	slowBack time.Duration // how long a restart may take to refuse; 3 s where 0
}

// restart is what a start after the fault must do.
type restart string

const (
	lossless restart = ""         // serve with nothing lost, or refuse with one line
	serves   restart = "serves"   // with nothing lost
	refuses  restart = "refuses"  // with one line
	restored restart = "restored" // serve another database, and say so
	damaged  restart = "damaged"  // serve all but what is on the damaged page, and say that
)

// scene is one row while it is played.
type scene struct {
	*testing.T
	fault
	row   *row
	place *place
	path  string
	env   []string
	svc   *service
	load  *load
	began time.Time // when the fault began
	first answer    // the one that turned
	fds   int
	tasks int
	wrong []string // what a watch found
}

// play makes a place, runs the service on it, does the fault, and fills row.
func play(t *testing.T, f fault, row *row) {
	s := &scene{T: t, fault: f, row: row}
	if s.seeds == 0 {
		s.seeds = 2000
	}
	if s.every == 0 {
		s.every = 20 * time.Millisecond
	}
	if s.want.health == 0 {
		s.want.health = 503
	}
	if s.want.check == "" {
		s.want.check = "bolt"
	}
	if s.want.within == 0 {
		s.want.within = bound
	}
	defer func() {
		if t.Failed() && len(row.broken) == 0 {
			row.broken = []string{"the row could not be played to its end; see the log of the test"}
		}
	}()
	s.open()
	s.load.reset()
	s.began = time.Now()
	s.do(s)
	if s.fault.watch != nil {
		s.fault.watch(s)
	} else {
		s.watchHealth()
	}
	if s.after != nil {
		s.after(s)
	}
	s.clients()
	s.end()
	s.restart()
	for _, wrong := range s.wrong {
		t.Error(wrong)
	}
	row.broken = append(row.broken, s.wrong...)
	if t.Failed() {
		t.Logf("log of the service:\n%s", shorten(s.svc.log.String()))
	}
}

// shorten keeps the head and the tail of a long log.
func shorten(log string) string {
	const most = 3000
	if len(log) <= 2*most {
		return log
	}
	return log[:most] + "\n...\n" + log[len(log)-most:]
}

func (s *scene) bad(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// open brings everything to the moment before the fault.
func (s *scene) open() {
	dir, err := os.MkdirTemp(root, "place-")
	must(s.T, err)
	must(s.T, os.Chmod(dir, 0o755))
	s.place = newPlace(s.T, s.fault.place, dir)
	s.path = filepath.Join(s.place.dir, "accounts.db")
	s.env = append([]string{fmt.Sprint("ACCOUNTSERVICE_STORE_SEED=", s.seeds)}, s.fault.env...)
	if s.setUp != nil {
		s.setUp(s)
	}
	s.svc = startService(s.T, s.path, nil, s.env...)
	if !s.svc.await(20 * time.Second) {
		s.Fatalf("never healthy:\n%s", s.svc.log)
	}
	s.load = newLoad(s.svc.url, s.every, s.long)
	must(s.T, eventually(func() error {
		s.load.mu.Lock()
		defer s.load.mu.Unlock()
		if s.load.acks < 50 {
			return fmt.Errorf("only %d writes acknowledged", s.load.acks)
		}
		return nil
	}, 20*time.Second))
	if s.prepare != nil {
		s.prepare(s)
	}
	s.fds, s.tasks = s.svc.holds()
}

// memoryLimit is what a process with some thousand accounts never needs.
const memoryLimit = 512 << 20

// turned says whether an answer shows the fault as the row wants it shown.
func (s *scene) turned(a answer) bool {
	if s.want.health == 503 {
		return a.code != 200
	}
	return a.code != 200 || a.Failures[s.want.check] != ""
}

// watchHealth polls until /health turns, and some time longer than it may take.
func (s *scene) watchHealth() {
	patience := s.want.within + bound
	if s.want.unseen != "" {
		patience = s.want.within
	}
	var a answer
	for deadline := time.Now().Add(patience); ; {
		a = s.svc.ask("/health")
		if s.turned(a) || time.Now().After(deadline) || !s.svc.lives() {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	s.first = a
	s.row.health = a.String()
	if s.turned(a) {
		s.row.found, s.row.took = true, time.Since(s.began)
		s.row.words = s.plain(a.words(s.want.check))
	}
	s.ready()
	switch {
	case s.want.unseen != "" && !s.row.found:
		s.row.words = "not seen: " + s.want.unseen
	case s.want.unseen != "":
		s.bad("seen, and it is no reason to be: /health = %s %s", a, a.words(""))
	case s.row.found && a.code == 0 && !s.want.dies:
		s.bad("/health gives no answer: %s", a.silence)
		s.Logf("its threads:\n%s", s.svc.threads())
	case s.row.found && a.code != s.want.health:
		s.bad("/health = %d (%s), want %d", a.code, a.words(""), s.want.health)
	case s.row.found && s.row.took > s.want.within:
		s.bad("found after %s, later than %s", s.row.took.Round(100*time.Millisecond), s.want.within)
	case !s.row.found:
		s.bad("not found within %s: /health = %s", patience, a)
	}
}

// ready asks /ready and the probe, which follow what /health turned to.
func (s *scene) ready() {
	s.row.ready = s.svc.ask("/ready").String()
	want := 0
	if s.row.found && s.want.health == 503 {
		want = 1
	}
	code, line := s.svc.probe()
	s.row.probe = fmt.Sprint(code)
	// what the probe repeats of /health needs no second place in the table
	if line = s.plain(line); line != "" && !strings.Contains(line, strings.TrimSuffix(s.row.words[:min(60, len(s.row.words))], "…")) {
		s.row.probe += ", " + line
	}
	if s.row.found && code != want {
		s.bad("the probe exits with %d, want %d: %s", code, want, line)
	}
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
		_, got, _ := strings.Cut(code, " ")
		known := false
		for _, a := range allowed {
			known = known || a == got
		}
		if !known && !s.want.dies {
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
	if !s.svc.lives() {
		s.row.process = fmt.Sprint("ended, exit ", s.svc.code)
		if s.svc.code < 0 {
			s.row.process = "ended, by a signal"
		}
		if !s.want.dies {
			s.bad("the process ended: exit %d", s.svc.code)
		}
		return
	}
	if s.want.dies {
		s.bad("the process lives")
	}
	fds, tasks := s.svc.holds()
	eventually(func() error { // connections of the clients take a moment to go
		if fds, tasks = s.svc.holds(); fds > s.fds {
			return fmt.Errorf("%d file descriptors", fds)
		}
		return nil
	}, 2*time.Second)
	s.row.process = "lives"
	if fds > s.fds+8 || tasks > s.tasks+80 {
		s.bad("%d file descriptors and %d threads are left, %d and %d before", fds, tasks, s.fds, s.tasks)
	}
	peak := s.svc.peak()
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

func (s *scene) kill(signal syscall.Signal) { must(s.T, s.svc.cmd.Process.Signal(signal)) }
