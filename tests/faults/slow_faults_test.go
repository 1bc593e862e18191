//go:build linux

package faults

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"accountservice/tests/harness"
)

const ms = time.Millisecond

// slowFaults are disks that answer late, or not everything.
var slowFaults = []fault{
	late("device: every request takes 50 ms longer", sick, taking(50*ms, 50*ms, 1)),
	late("device: every request takes 100 to 900 ms", sick, taking(100*ms, 900*ms, 1)),
	late("device: every flush (fsync) takes 0.9 to 2.2 s", sick, taking(900*ms, 2200*ms, 1, flushes)),
	late("device: one write of 20 stalls for 3 to 4.5 s", sick, taking(3000*ms, 4500*ms, 20, writes)),
	late("folder: every read, write and flush takes 200 to 450 ms", remote, taking(200*ms, 450*ms, 1)),
	late("folder: every read, write and flush takes 100 to 900 ms", remote, taking(100*ms, 900*ms, 1)),
	{
		name:  "folder: two pages of the file hang, the rest answers",
		place: remote,
		do:    (*scene).hangTwoPages,
		after: (*scene).readBesideHungPages,
		want:  want{health: 200, check: "latency", within: hungBound, restart: serves},
	}, {
		name:   "folder: reads past the cache (O_DIRECT) are refused from now on (EINVAL)",
		place:  remote,
		device: refusingDirect,
		want:   want{unseen: "the checks read through the cache, and one warning in the log says so", restart: serves},
		after: func(s *scene) {
			if n := strings.Count(s.svc.Log.String(), "refuses reads past the page cache"); n != 1 {
				s.bad("the log warns %d times, want once", n)
			}
		},
	}, {
		name:  "flushes (fdatasync) interrupted again and again (EINTR)",
		do:    func(s *scene) { s.inject("fdatasync", "error=EINTR:when=2+5") },
		after: (*scene).wantInjected,
		want:  want{unseen: "they are tried again", restart: serves},
	},
}

// late is a disk that answers late, under 20 requests a second.
func late(name string, place kind, slow sickness) fault {
	return fault{name: name, place: place, every: 250 * ms, device: slow, watch: (*scene).watchSlow,
		want: want{unseen: "late, but progressing", restart: serves}}
}

// longSpan is how long a row lasts whose fault must not be found.
func longSpan() time.Duration {
	if os.Getenv("FAULT_TABLE_LONG") == "1" {
		return 2 * time.Minute
	}
	return 20 * time.Second
}

// watchSlow wants no 503 of /health and no failure of the probe for some time, and
// that the service says how slow its disk is. Then the disk is quick again.
func (s *scene) watchSlow() {
	span, acked := longSpan(), s.load.acks.Load()
	answers, failed, said := 0, 0, ""
	for s.began = time.Now(); time.Since(s.began) < span; <-time.After(100 * ms) {
		a := s.svc.ask("/health")
		answers++
		if a.code != 200 {
			failed++
			s.row.words = a.words("")
		}
		latency := a.Checks["latency"]
		said = cmp.Or(latency.Error, latency.Warning, said)
	}
	code := s.others()
	s.row.health = s.svc.ask("/health").String()
	if failed > 0 || code != 0 {
		s.bad("%d of %d answers of /health were not 200 (%s), and the probe exits with %d", failed, answers, s.row.words, code)
	}
	codes, slowest := s.load.seen()
	if !slices.Contains(codes, "GET 200") {
		s.bad("nothing was read: %v", codes)
	}
	if said == "" && !strings.Contains(s.name, " 50 ms") {
		s.bad("the check latency says nothing")
	}
	s.row.words = fmt.Sprintf("late, but progressing: none of %d answers in %s was 503; latency: %s", answers, span, s.plain(said))
	s.Logf("%s; %d writes acknowledged; the slowest request took %s: %v", s.row.words, s.load.acks.Load()-acked, slowest, codes)
	s.place.medium.cure()
	if !harness.Until(bound, func() bool { return s.load.put("quick", "again")/100 == 2 }) {
		s.bad("no write is taken after the disk became quick")
	}
}

// refusingDirect is a file system that takes no O_DIRECT.
func refusingDirect(_ *medium, r request) syscall.Errno {
	if r.direct {
		return syscall.EINVAL
	}
	return 0
}

// farAccounts are two that no client asks for, on pages of their own.
func (s *scene) farAccounts() []string {
	return []string{fmt.Sprint(10000 + s.seeds/2), fmt.Sprint(10000 + s.seeds*3/4)}
}

// hangTwoPages makes the pages of the far accounts hang.
func (s *scene) hangTwoPages() {
	s.load.still() // a page that is written has another place
	d := openFile(s.T, s.path)
	var hung []int64
	for _, d.far = range s.farAccounts() {
		hung = append(hung, d.record().page)
	}
	var ill sickness = func(m *medium, r request) syscall.Errno {
		for _, page := range hung {
			if r.op == reads && r.off <= page && page < r.off+int64(r.size) {
				<-m.well.Done()
			}
		}
		return 0
	}
	s.pageOut()
	s.place.medium.ill.Store(&ill)
	s.load.quiet.Store(false)
	for _, id := range s.farAccounts() { // what a write waits for first must hold up no other
		s.load.all.Go(func() { s.load.do("PUT", s.load.url+"/accounts/"+id, `{"name":"hung"}`) })
	}
	for _, id := range s.farAccounts() { // more readers than may hold the service up
		s.load.tick(50*ms, &s.load.deaf, func(int) { s.load.do("GET", s.load.url+"/accounts/"+id, "") })
	}
}

// readBesideHungPages wants every other account, and quick refusals of these.
func (s *scene) readBesideHungPages() {
	if !harness.Until(hungBound, func() bool {
		a := s.svc.ask("/health")
		s.row.words = s.plain(a.words("latency"))
		return a.code == 200 && strings.Contains(s.row.words, "has not answered 2 reads")
	}) {
		s.bad("the check latency does not tell of the pages: %s", s.row.words)
	}
	began, wrong := time.Now(), 0
	for n := range 200 {
		id, want := fmt.Sprint(10000+n%seedsRead), 200
		if n%10 == 0 {
			id, want = s.farAccounts()[n/10%2], 503
		}
		if code, answer, err := s.load.send("GET", s.load.url+"/accounts/"+id, ""); err != nil || code != want {
			wrong++
			s.Logf("GET %s = %d %s %v, want %d", id, code, answer, err, want)
		}
	}
	if took := time.Since(began); wrong > 0 || took > 2*time.Second {
		s.bad("%d of 200 reads beside the hung pages got a wrong answer, all within %s", wrong, took)
	}
	if code := s.load.put("beside", "hung pages"); code/100 != 2 {
		s.bad("a write beside the hung pages is answered %d", code)
	}
	s.row.words += "; other pages are read"
	s.place.medium.cure()
	if err := s.svc.healthy(bound); err != nil {
		s.bad("after the disk answers: %v", err)
	}
}

// tracer is the log of inject.
func (s *scene) tracer() string { return filepath.Join(filepath.Dir(s.place.dir), "strace") }

// inject has the kernel answer some of a kind of system calls with an error, until end is called.
func (s *scene) inject(call, how string) (end func()) {
	if _, err := exec.LookPath("strace"); err != nil {
		skip(s.T, "strace is not installed")
	}
	trace := exec.Command("strace", "-f", "-qq", "-o", s.tracer(), "-e", "trace="+call, "-e", "inject="+call+":"+how,
		"-p", fmt.Sprint(s.svc.Cmd.Process.Pid))
	s.must(trace.Start())
	end = sync.OnceFunc(func() { trace.Process.Signal(os.Interrupt); trace.Wait() })
	s.Cleanup(end)
	if !harness.Until(5*time.Second, func() bool { return s.injected() > 0 }) {
		skip(s.T, "strace cannot trace here")
	}
	return end
}

func (s *scene) injected() int {
	log, _ := os.ReadFile(s.tracer())
	return strings.Count(string(log), "(INJECTED)")
}

// wantInjected wants that it happened while the service was watched.
func (s *scene) wantInjected() {
	if n := s.injected(); n < 10 {
		s.bad("%d calls were interrupted, want at least 10", n)
	}
}
