//go:build linux

package faults

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"time"

	"accountservice/tests/harness"

	"golang.org/x/sys/unix"
)

// timeFaults are of the process, its time and its surroundings.
var timeFaults = []fault{
	{
		name:  "killed (SIGKILL) under write load",
		every: 2 * time.Millisecond,
		do:    func(s *scene) { s.kill(syscall.SIGKILL) },
		watch: (*scene).watchDeath,
		want:  want{dies: true, restart: serves},
	}, {
		name:  "its listener shut down",
		do:    func(s *scene) { s.shutListener() },
		watch: (*scene).watchDeath,
		want:  want{dies: true, restart: serves},
	}, {
		name:    "process stopped for 8 s and continued",
		still:   true,
		prepare: func(s *scene) { s.load.deaf.Store(true) },
		do:      func(s *scene) { s.kill(syscall.SIGSTOP) },
		watch:   (*scene).watchStopped,
		want:    want{restart: serves},
	}, {
		name:  "file descriptors exhausted by idle connections",
		do:    func(s *scene) { s.limitFiles(48) },
		watch: (*scene).watchExhausted,
		want: want{restart: serves, unseen: "it is no fault of the service: the connections that have been idle for longest " +
			"are closed, and every client is served"},
	}, {
		name: "CPU starved", alone: true,
		do:    func(*scene) {},
		watch: (*scene).watchStarved,
		want:  want{unseen: "it is no fault of the service: a slow answer is no dead one", restart: serves},
	},
}

// watchDeath is for a fault that ends the process.
func (s *scene) watchDeath() {
	s.load.deaf.Store(true)
	s.load.quiet.Store(true)
	if !s.svc.Ended(10 * time.Second) {
		s.row.health = s.svc.ask("/health").String()
		return
	}
	s.row.found, s.row.took = true, time.Since(s.began)
	s.row.health = s.svc.ask("/health").String()
	if code := s.others(); code != 1 {
		s.bad("the probe of a dead service exits with %d", code)
	}
	if said := s.svc.errorLines(); len(said) > 0 {
		s.row.words = "log: " + s.plain(said[len(said)-1])
	}
}

func (s *scene) shutListener() {
	if err := harness.ShutListener(s.svc.Cmd.Process.Pid); err != nil {
		skip(s.T, "%v", err)
	}
}

// watchStopped continues the process after 8 s and judges its first answers:
// they must be made anew or say stale, and never be the old green.
func (s *scene) watchStopped() {
	<-time.After(7500 * time.Millisecond)
	answers := make(chan answer, 8)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range cap(answers) { // asked while it is stopped, answered at once when it goes on
		go func() { answers <- s.svc.askWith(&client, "/health") }()
	}
	<-time.After(500 * time.Millisecond)
	continued := time.Now().Truncate(time.Millisecond) // answers have milliseconds
	s.kill(syscall.SIGCONT)
	for range cap(answers) {
		a := <-answers
		if s.row.health == "" {
			s.row.health, s.row.words = a.String(), "the first answer was made anew"
			if a.code != 200 {
				s.row.words = s.plain(a.words(""))
			}
			s.row.found, s.row.took = true, time.Since(s.began)
			s.others() // not judged: it may come when all is well again
		}
		for what, at := range map[string]time.Time{"answer": a.Timestamp, "success of bolt": a.Checks["bolt"].LastSuccess} {
			if a.code == 200 && at.Before(continued) {
				s.bad("the first answer is 200, and its %s is %s old", what, continued.Sub(at).Round(100*time.Millisecond))
			}
		}
	}
	if err := s.svc.healthy(bound); err != nil {
		s.bad("still unhealthy %s after it went on: %v", bound, err)
	}
	s.row.words += fmt.Sprintf("; 200 within %s after it went on", rounded(time.Since(continued)))
	// a request that was under way took as long as the process was stopped
	harness.Until(10*time.Second, func() bool { return s.load.reading.Load() == 0 })
	s.load.forget(everything)
	s.load.quiet.Store(false)
	s.load.deaf.Store(false)
}

// limitFiles leaves the process room for n more file descriptors.
func (s *scene) limitFiles(n int) {
	open, _ := s.svc.holds()
	var limit unix.Rlimit
	s.must(unix.Prlimit(s.svc.Cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit))
	limit.Cur = uint64(open + n)
	s.must(unix.Prlimit(s.svc.Cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// watchExhausted holds more connections than the process may have: each client and probe is served all the same.
func (s *scene) watchExhausted() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		<-tick.C
		conn, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", s.svc.Port), time.Second)
		s.must(err)
		defer conn.Close()
	}
	s.began = time.Now()
	s.watchHealth()
	if code, line := s.svc.probe(); code != 0 {
		s.bad("the probe exits with %d: %s", code, line)
	}
	if !strings.Contains(s.svc.Log.String(), "http.max_connections") {
		s.bad("the log does not name http.max_connections")
	}
}

// watchStarved burns the CPU beside the service at a higher priority and counts
// what Docker would count: probes that fail in a row.
func (s *scene) watchStarved() {
	span := longSpan()
	defer burn(s.T, 4*runtime.NumCPU(), -10)()
	inRow, most, probes, failed := 0, 0, 0, 0
	slowest := time.Duration(0)
	for time.Since(s.began) < span {
		began := time.Now()
		a := s.svc.ask("/health")
		slowest = max(slowest, time.Since(began))
		if a.code == 503 {
			s.bad("/health = 503 %s", a.words(""))
		}
		probes++
		inRow++
		if code, line := s.svc.probe(); code == 0 {
			inRow = 0
		} else {
			failed++
			s.Logf("probe %d: exit %d %s", probes, code, line)
		}
		most = max(most, inRow)
		<-time.After(time.Second)
	}
	codes, request := s.load.seen()
	s.Logf("%d probes, %d failed, at most %d in a row; slowest /health %s; slowest request %s; answers %v", probes,
		failed, most, slowest, request, codes)
	// the clients starve as well: what they wait for is not the service alone
	s.load.forget(func(code string) bool { return strings.HasSuffix(code, " no answer in time") })
	if most >= 3 {
		s.bad("the probe failed %d times in a row, and 3 get the container killed", most)
	}
	s.row.health, s.row.ready = s.svc.ask("/health").String(), s.svc.ask("/ready").String()
	s.row.probe = fmt.Sprintf("%d of %d failed, at most %d in a row, for %s", failed, probes, most, span)
	s.row.words = "not seen: " + s.want.unseen
}
