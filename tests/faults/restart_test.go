//go:build linux

package faults

import (
	"cmp"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// startLimit is the time in which a start that is refused must have said so.
const startLimit = 3 * time.Second

// started is what a start came to.
type started struct {
	svc     *service
	serves  bool
	refused bool // exit code other than 0
	took    time.Duration
	said    []string // errors in its log
	words   string   // of /health, when it neither serves nor ends
}

// start runs the service and waits until it serves, ends, or does neither.
func start(t *testing.T, path string, as *syscall.Credential, limit time.Duration, env ...string) (r started) {
	t.Helper()
	began := time.Now()
	r.svc = startService(t, path, as, env...)
	err := r.svc.healthy(limit)
	r.took = time.Since(began)
	switch {
	case err == nil:
		r.serves = true
	case !r.svc.Running():
		r.refused = r.svc.Code() != 0
	default:
		r.words = err.Error()
	}
	r.said = r.svc.errorLines()
	return r
}

// restart starts the service again where it was, and after the repair if there is one, and counts what is lost.
func (s *scene) restart() {
	if s.svc.Running() && !s.want.stuck {
		s.row.restart = "not tried: the first process is still there"
		return
	}
	s.row.restart, s.row.lost = s.tryStart(s.want.restart)
	if s.repair == nil {
		return
	}
	s.repair(s)
	if !s.svc.Ended(10 * time.Second) {
		s.bad("the process is not gone after the repair")
	}
	words, lost := s.tryStart(serves)
	s.row.restart += "; " + s.mended + ": " + words
	s.row.lost = lost
}

// tryStart is one start, its words and losses for the table.
func (s *scene) tryStart(want restart) (words, lost string) {
	r := start(s.T, s.path, s.as, 10*time.Second, append(s.env, s.later...)...)
	switch {
	case r.serves:
		words, lost = s.compare(r, want)
		// what it takes now must be there at the next start
		if code := s.load.putAt(r.svc.URL, "after-"+string(want), "written after a restart"); code/100 != 2 {
			s.bad("after the restart a write got %d", code)
		}
		if how := r.svc.stop(); how.killed {
			s.bad("after the restart: %s", how)
		}
		return words, lost
	case r.refused:
		if want == serves || want == restored {
			s.bad("the start is refused, and must serve: %s", strings.Join(r.said, " | "))
		}
		s.row.wantRefusal(r, s.path, cmp.Or(s.want.slowBack, startLimit))
		line := "nothing"
		if len(r.said) > 0 {
			line = s.plain(r.said[len(r.said)-1])
		}
		return "refuses: " + line, "–"
	}
	r.svc.Cmd.Process.Signal(syscall.SIGKILL)
	gone := r.svc.Ended(2 * time.Second)
	if !s.want.stuck || want == serves {
		s.bad("the start neither serves nor ends within %s: %s", r.took.Round(time.Second), r.words)
	}
	words = "neither serves nor ends: " + s.plain(r.words)
	if !gone {
		words += "; the kernel keeps it"
	}
	return words, "–"
}

// compare holds a service that serves to what was acknowledged.
func (s *scene) compare(r started, want restart) (words, lost string) {
	l := s.load.compare(r.svc.URL, s.seeds)
	switch {
	case want == restored:
		if !saysRestore(r.svc.Log.String()) {
			s.bad("the start does not say that another database was put there")
		}
		return "serves the other database and says so", "as restored"
	case want == refuses:
		s.bad("the start serves, and must refuse; lost of %d acknowledged writes: %s", s.load.acks.Load(), l)
	case want == damaged && l.unreadable > 0 && l.silent == "" && l.writes+l.seeds == 0:
		var a answer
		if !harness.Until(s.want.within, func() bool {
			a = r.svc.ask("/health")
			return a.Failures[s.want.check] != ""
		}) {
			s.bad("after the restart /health does not show the damage: %s", a)
		}
		return fmt.Sprintf("serves; /health %s %s", a, s.plain(a.words(s.want.check))), l.String()
	case !l.none():
		s.bad("lost of %d acknowledged writes: %s", s.load.acks.Load(), l)
	}
	return "serves", l.String()
}

// saysRestore finds the line of the log that another database is accepted.
func saysRestore(log string) bool {
	log = strings.ToLower(log)
	return strings.Contains(log, "restore") || strings.Contains(log, "another database")
}

// wantRefusal wants of a start that was refused one line, in time, about this file.
func (v *verdict) wantRefusal(r started, path string, limit time.Duration) {
	if r.took > limit {
		v.bad("the start takes %s to be refused, longer than %s", r.took.Round(100*time.Millisecond), limit)
	}
	if len(r.said) != 1 {
		v.bad("a refused start says %d lines of level ERROR: %s", len(r.said), strings.Join(r.said, " | "))
		return
	}
	if !strings.Contains(r.said[0], path) {
		v.bad("the refusal does not name the file: %s", r.said[0])
	}
	if !cure.MatchString(r.said[0]) {
		v.bad("the refusal does not say what to do: %s", r.said[0])
	}
}
