package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/probesocket"
	"accountservice/internal/store"
	"accountservice/tests/harness"
)

// heavy is set by make crowd-test: crowds are as large as those that ended earlier versions then.
var heavy = os.Getenv("CROWD_TEST") == "1"

// crowds are what a crowd sends on each of its connections, of which it reads nothing.
var crowds = map[string]string{
	"idle":             "",
	"kept alive":       "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
	"unended headers":  "GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 12<<10),
	"unended bodies":   "PUT /accounts/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat(" ", 100<<10),
	"unread documents": "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n",
	"unread lists":     "GET /accounts?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n",
	"unread exports":   "GET /accounts:export HTTP/1.1\r\nHost: x\r\n\r\n",
}

// crowd opens n connections to the service, at most 64 at the same time, and sends text on each. They stay open until
// the test ends.
func crowd(t *testing.T, p *harness.Process, n int, text string) {
	t.Helper()
	var all sync.WaitGroup
	opening := make(chan struct{}, 64)
	conns := make([]net.Conn, n)
	for i := range conns {
		opening <- struct{}{}
		all.Go(func() {
			defer func() { <-opening }()
			dialer := net.Dialer{Timeout: 5 * time.Second}
			conn, err := dialer.Dial("tcp", fmt.Sprint("127.0.0.1:", p.Port))
			if err != nil {
				return // the service may close what it does not need
			}
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(conn, text)
			conns[i] = conn
		})
	}
	all.Wait()
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	})
}

// prober asks for health as probes do, on a new connection each time, on which the request comes at once, and for 2 s at
// most, by the port and by the probe's socket.
type prober struct{ addrs map[string]net.Addr }

func newProber(t *testing.T, p *harness.Process) prober {
	t.Helper()
	name, err := probesocket.Name(p.Cmd.Env)
	harness.Must(t, err)
	return prober{map[string]net.Addr{"port": &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.Port},
		"socket": &net.UnixAddr{Net: "unix", Name: name}}}
}

// status is that of the answer to a request such as "GET /health" on a new connection. net/http's client would send it
// from another goroutine, which waits for its turn on a busy machine.
func (p prober) status(way, request string) (status int, err error) {
	addr := p.addrs[way]
	deadline := time.Now().Add(2 * time.Second)
	conn, err := (&net.Dialer{Deadline: deadline}).Dial(addr.Network(), addr.String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, request+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// ask asks by each way until over is closed, at least once, and returns how long the answers took, sorted. One request
// may fail, as where the machine is so busy that its client does not come to send it; two in a row may not. On a
// machine that does nothing else they take 100 ms at most.
func (p prober) ask(t *testing.T, over <-chan struct{}) (took []time.Duration) {
	t.Helper()
	failed := make(map[string]bool)
	for {
		for way := range p.addrs {
			began := time.Now()
			status, err := p.status(way, "GET /health")
			if err == nil {
				took = append(took, time.Since(began))
			}
			if err == nil && status != 200 || err != nil && failed[way] {
				t.Errorf("by the %s: %d, %v", way, status, err)
				return took
			}
			failed[way] = err != nil
		}
		select {
		case <-over:
			slices.Sort(took)
			return took
		default:
		}
	}
}

// beside makes a crowd and asks for health meanwhile, and for a second more.
func (p prober) beside(t *testing.T, crowd func()) {
	t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		crowd()
		time.Sleep(time.Second)
	}()
	took := p.ask(t, over)
	if len(took) > 0 {
		t.Logf("/health takes %s, %s at most, of %d answers", took[len(took)/2], took[len(took)-1], len(took))
	}
}

// A crowd that has more connections than the service can have file descriptors keeps nobody out. The service is built as
// users run it: the race detector makes it ten times slower, and what the crowd asked for before a probe comes first.
func TestCrowdOfSilentConnectionsKeepsNobodyOut(t *testing.T) {
	folder := t.TempDir()
	harness.Must(t, harness.Build(folder))
	for name, text := range crowds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", `ulimit -n 256 && exec "$0"`, filepath.Join(folder, "accountservice"))
			p := harness.Start(t, cmd, newPath(t))
			p.Await(t, "/health?strict", 200)
			probes := newProber(t, p)
			for range 2 {
				probes.beside(t, func() { crowd(t, p, 456, text) })
				p.Put(t, "honest", "Served")
				p.Await(t, "/accounts/honest", 200)
			}
			p.Logs(t, "http.max_connections")
			p.Stop(t, 0)
		})
	}
}

// outcome is what n clients got that each repeated one request over a connection that is kept alive.
type outcome struct {
	n    int
	span time.Duration
	took []time.Duration // of the answers that were as wanted, sorted
	bad  []string        // the others
}

func (o outcome) String() string {
	rate := float64(len(o.took)) / o.span.Seconds()
	if len(o.took) == 0 {
		return fmt.Sprintf("%d clients: no answer as wanted, %d others", o.n, len(o.bad))
	}
	return fmt.Sprintf("%d clients: %.0f a second, p50 %s, p99 %s, %d others", o.n, rate, o.took[len(o.took)/2], o.took[len(o.took)*99/100], len(o.bad))
}

// repeat has n clients repeat a request until the time is over. {n} in it is the number of the client, of four digits.
func repeat(t testing.TB, p *harness.Process, n int, span time.Duration, request string, want int) outcome {
	t.Helper()
	o := outcome{n: n, span: span}
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(span)
	for i := range n {
		all.Go(func() {
			request := strings.ReplaceAll(request, "{n}", fmt.Sprintf("%04d", i))
			var took []time.Duration
			var bad []string
			c := harness.Asker{Addr: fmt.Sprint("127.0.0.1:", p.Port)}
			defer c.Close()
			for time.Now().Before(end) {
				began := time.Now()
				status, _, err := c.Ask(request)
				if err != nil {
					bad = append(bad, err.Error())
					break
				}
				if status == want {
					took = append(took, time.Since(began))
				} else {
					bad = append(bad, fmt.Sprint(status))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			o.took, o.bad = append(o.took, took...), append(o.bad, bad...)
		})
	}
	all.Wait()
	slices.Sort(o.took)
	return o
}

const (
	createOne = "POST /accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n" +
		`{"name":"One of many"}`
	readOne    = "GET /accounts/10007 HTTP/1.1\r\nHost: x\r\n\r\n"
	readOwn    = "GET /accounts/1{n} HTTP/1.1\r\nHost: x\r\n\r\n"
	matchNoone = "GET /accounts?name=Nobody HTTP/1.1\r\nHost: x\r\n\r\n"
)

func TestCrowdOfWritersIsServedWithoutARefusal(t *testing.T) {
	span, crowds := time.Second, []int{64, 256}
	if heavy {
		span, crowds = 5*time.Second, []int{64, 256, 1000}
	}
	disks := map[string]*harness.Process{"quick": ready(t, newPath(t))}
	if heavy {
		disks["slow"] = onSlowDisk(t, slowSync)
	}
	for name, p := range disks {
		for _, n := range crowds {
			o := repeat(t, p, n, span, createOne, 201)
			if t.Logf("%s disk: %s", name, o); len(o.bad) > 0 {
				t.Errorf("%d answers are no 201, such as %s", len(o.bad), o.bad[0])
			}
		}
	}
}

// slowSync is how long each of the two flushes of a commit takes on a slow disk: a hard disk that others use too.
const slowSync = 20 * time.Millisecond

// onSlowDisk runs the service with so much more time for each flush.
func onSlowDisk(t *testing.T, sync time.Duration) *harness.Process {
	t.Helper()
	harness.NeedStrace(t)
	cmd := exec.Command("strace", "-D", "-qq", "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace=fdatasync",
		"-e", fmt.Sprint("inject=fdatasync:delay_enter=", sync.Microseconds()), binary())
	p := harness.Start(t, cmd, newPath(t))
	p.Await(t, "/ready", 200)
	return p
}

// Lists that read 10,000 accounts each and match none leave reads their share of the CPU.
func TestCostlyListsLeaveReadsTheirShare(t *testing.T) {
	if !heavy {
		t.Skip("CROWD_TEST=1 compares two rates")
	}
	p := ready(t, newPath(t), "ACCOUNTSERVICE_STORE_SEED=20000")
	const span = 3 * time.Second
	alone := repeat(t, p, 32, span, readOne, 200)
	lists := make(chan outcome)
	go func() { lists <- repeat(t, p, 8, span, matchNoone, 200) }()
	beside := repeat(t, p, 32, span, readOne, 200)
	t.Logf("reads alone: %s; beside lists: %s; the lists: %s", alone, beside, <-lists)
	if len(beside.took)*5 < len(alone.took) || len(beside.bad) > 0 {
		t.Errorf("%d reads beside lists, %d alone", len(beside.took), len(alone.took))
	}
}

// Load is never called a hung disk: while 4,000 clients read and 24 list what costs most, health is 200 all the time,
// no check fails, and no client is told that the disk does not answer, however short the time that makes one hung.
func TestCrowdIsNeverCalledAHungDisk(t *testing.T) {
	if !heavy {
		t.Skip("CROWD_TEST=1 opens 4,024 connections for 15 s")
	}
	p := ready(t, newPath(t), "ACCOUNTSERVICE_STORE_SEED=20000", "ACCOUNTSERVICE_CHECKS_INTERVAL=1s",
		"ACCOUNTSERVICE_CHECKS_TIMEOUT=900ms", "ACCOUNTSERVICE_CHECKS_BOLT_HUNG_AFTER=4s")
	var reads, lists outcome
	newProber(t, p).beside(t, func() {
		var both sync.WaitGroup
		both.Go(func() { lists = repeat(t, p, 24, 15*time.Second, matchNoone, 200) })
		reads = repeat(t, p, 4000, 15*time.Second, readOwn, 200)
		both.Wait()
	})
	t.Logf("reads: %s; lists: %s; at most %d MiB", reads, lists, harness.Memory(p.Cmd.Process.Pid, "VmHWM")>>20)
	if len(reads.bad) > 0 || len(lists.took) == 0 {
		t.Errorf("reads: %s; lists: %s", reads, lists)
	}
	p.NeverLogged(t, `"to":"failing"`, "not answered", "hung")
}

// Clients that read or send nothing are cut when the service stops: they do not delay it, and it is no failure.
func TestSlowClientsDoNotDelayTheStop(t *testing.T) {
	for _, slow := range []string{"unended bodies", "unread lists", "unread exports", "unread documents"} {
		t.Run(slow, func(t *testing.T) {
			t.Parallel()
			p := ready(t, newPath(t))
			enlarge(t, p, 100)
			crowd(t, p, 10, crowds[slow])
			p.Await(t, "/ready", 200)
			began := time.Now()
			p.Stop(t, 0)
			if took := time.Since(began); took > 10*time.Second { // of the 20 s that requests under way may take
				t.Errorf("the stop takes %s", took)
			}
		})
	}
}

// A client that moves is not cut before http.shutdown_timeout, and the exit code says that it was then.
func TestClientThatMovesIsCutAtTheDeadlineOfTheStop(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=4s")
	conn := dial(t, p.URL)
	_, err := fmt.Fprint(conn, "PUT /accounts/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n")
	p.Await(t, "/ready", 200) // connections are accepted in turn
	p.Signal(t, syscall.SIGTERM)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for err == nil { // 20 kB a second
		<-tick.C
		_, err = io.WriteString(conn, strings.Repeat(" ", 2000))
	}
	p.Exits(t, 4)
	p.Logs(t, "requests were still under way")
}

// confined runs the service in a cgroup with so much memory, as a container has it.
func confined(t *testing.T, mebibytes int) *harness.Process {
	t.Helper()
	folder, file := "/sys/fs/cgroup/memory/", "memory.limit_in_bytes" // version 1
	if _, err := os.Stat(folder); err != nil {
		folder, file = "/sys/fs/cgroup/", "memory.max"
	}
	folder += fmt.Sprintf("crowd-%d-%d", os.Getpid(), mebibytes)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() { harness.Eventually(10*time.Second, func() error { return os.Remove(folder) }) })
	harness.Must(t, os.WriteFile(filepath.Join(folder, file), []byte(fmt.Sprint(mebibytes<<20)), 0))
	cmd := exec.Command("sh", "-c", `echo $$ >"$1/cgroup.procs" && exec "$0"`, binary(), folder)
	p := harness.Start(t, cmd, newPath(t), "ACCOUNTSERVICE_STORE_SEED=1000")
	p.Await(t, "/health?strict", 200)
	return p
}

// largeLabels is the member labels of an account, with about 50 kB.
func largeLabels() string {
	var labels strings.Builder
	for i := range store.MaxLabels - 1 {
		fmt.Fprintf(&labels, `,"k%d":"%s"`, i, strings.Repeat("日", store.MaxLabelLength))
	}
	return `"labels":{"k":""` + labels.String() + "}"
}

// enlarge stores n accounts of about 50 kB.
func enlarge(t *testing.T, p *harness.Process, n int) {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"id":"0large%d","name":"x",%s}`+"\n", i, largeLabels())
	}
	if status, body := harness.Ask("POST", p.URL+"/accounts:import", lines.String(), "Content-Type", "application/x-ndjson"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
}

// 512 without a unit is 512 bytes. The probe is answered all the same, so clients must be too.
func TestMemoryLimitWithoutItsUnitKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "GOMEMLIMIT=512")
	p.Put(t, "new", "New")
	if status, body := p.Get("/accounts?limit=1000"); status != 200 || strings.Count(body, `"name"`) != 101 {
		t.Errorf("list = %d %.200s, want 101 accounts", status, body)
	}
	p.Stop(t, 0)
}

// No crowd of one client gets a container killed.
func TestCrowdInASmallContainerKeepsNobodyOut(t *testing.T) {
	if !heavy {
		t.Skip("CROWD_TEST=1 opens up to 12,000 connections")
	}
	for _, c := range []struct {
		mebibytes, n int
		crowd        string
	}{
		{64, 5000, "idle"}, {64, 5000, "kept alive"}, {64, 1000, "unended headers"}, {64, 1000, "unended bodies"},
		{64, 1000, "unread documents"}, {64, 1000, "unread lists"}, {64, 1000, "unread exports"},
		{256, 12_255, "idle"}, {256, 5480, "unended headers"}, {256, 2499, "unread documents"}, {256, 2499, "unread lists"},
		{256, 2499, "unended bodies"},
	} {
		t.Run(fmt.Sprintf("%d %s in %d MiB", c.n, c.crowd, c.mebibytes), func(t *testing.T) {
			p := confined(t, c.mebibytes)
			enlarge(t, p, 100)
			newProber(t, p).beside(t, func() { crowd(t, p, c.n, crowds[c.crowd]) })
			t.Logf("at most %d MiB", harness.Memory(p.Cmd.Process.Pid, "VmHWM")>>20)
			p.Put(t, "honest", "Served")
			p.Await(t, "/accounts/honest", 200)
			p.Stop(t, 0)
		})
	}
}
