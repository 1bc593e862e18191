package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this binary be the service: the tests start it as a process of
// its own, with its real signals, exit codes and files.
func TestMain(m *testing.M) {
	if os.Getenv("ACCOUNTSERVICE_TEST_MAIN") == "1" {
		os.Unsetenv("ACCOUNTSERVICE_TEST_MAIN")
		main()
	}
	os.Exit(m.Run())
}

// process is a running service.
type process struct {
	cmd    *exec.Cmd
	url    string
	path   string // of its database
	log    *buffer
	exited chan int // its exit code, once
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// quick has a fault seen soon. On a busy machine it can be seen where there is
// none, so it is for tests that want one.
var quick = []string{"ACCOUNTSERVICE_CHECKS_INTERVAL=300ms", "ACCOUNTSERVICE_CHECKS_TIMEOUT=200ms"}

// start runs the service on a free port, with checks that a busy machine does
// not turn; env adds to that or overrides it.
func start(t testing.TB, path string, env ...string) *process {
	t.Helper()
	port := freePort(t)
	p := &process{url: fmt.Sprintf("http://127.0.0.1:%d", port), path: path, log: &buffer{}, exited: make(chan int, 1)}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append([]string{
		"ACCOUNTSERVICE_TEST_MAIN=1",
		"GORACE=atexit_sleep_ms=0", // the race detector's own second at each exit
		"ACCOUNTSERVICE_HTTP_HOST=127.0.0.1",
		fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port),
		"ACCOUNTSERVICE_ADMIN_ADDR=off",
		"ACCOUNTSERVICE_STORE_BOLT_PATH=" + path,
		"ACCOUNTSERVICE_CHECKS_INTERVAL=5s",
		"ACCOUNTSERVICE_CHECKS_TIMEOUT=4s",
		"ACCOUNTSERVICE_CHECKS_STALE_AFTER=60s",
	}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		p.exited <- p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("log of the service:\n%s", p.log)
		}
	})
	return p
}

// nextPort is where freePort looks first.
var nextPort atomic.Int64

// freePort returns a port below those that the kernel gives to clients: one of
// these could be a client's by the time that the service listens.
func freePort(t testing.TB) int {
	t.Helper()
	const first, many = 20_000, 12_000
	nextPort.CompareAndSwap(0, 1+rand.Int64N(many)) // other test binaries look for one, too
	for range many {
		port := first + int(nextPort.Add(1)%many)
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no port from %d on is free", first)
	return 0
}

func newPath(t testing.TB) string { t.Helper(); return filepath.Join(t.TempDir(), "accounts.db") }

// get returns status and body, or 0 and why there is none.
func (p *process) get(path string) (int, string) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(p.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// await polls until path answers status.
func (p *process) await(t testing.TB, path string, status int) string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, body := p.get(path)
		if got == status {
			return body
		}
		select {
		case code := <-p.exited:
			t.Fatalf("exited with %d while waiting for %s to be %d:\n%s", code, path, status, p.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s = %d %s, want %d", path, got, body, status)
		}
	}
}

// exits waits for the end of the process and wants this exit code.
func (p *process) exits(t testing.TB, want int) {
	t.Helper()
	select {
	case code := <-p.exited:
		if code != want {
			t.Errorf("exit code %d, want %d:\n%s", code, want, p.log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("still running:\n%s", p.log)
	}
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *process) logs(t *testing.T, want string) {
	t.Helper()
	if !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q:\n%s", want, p.log)
	}
}

func (p *process) put(t *testing.T, id, name string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, p.url+"/accounts/"+id, strings.NewReader(fmt.Sprintf(`{"name":%q}`, name)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("PUT %s = %d", id, resp.StatusCode)
	}
}

func TestServesSeededAccountsAndKeepsChanges(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := start(t, path)
	p.await(t, "/health", 200)
	for id, name := range map[string]string{"10000": "Person_0", "10099": "Person_99"} {
		if status, body := p.get("/accounts/" + id); status != 200 || !strings.Contains(body, name) {
			t.Errorf("account %s = %d %s", id, status, body)
		}
	}
	p.logs(t, "Seeded 100 fake accounts")
	p.put(t, "10000", "Changed")
	p.signal(t, syscall.SIGTERM)
	p.exits(t, 0)

	p = start(t, path)
	p.await(t, "/health", 200)
	if _, body := p.get("/accounts/10000"); !strings.Contains(body, "Changed") {
		t.Errorf("after a restart: %s", body)
	}
	if strings.Contains(p.log.String(), "Seeded 100") {
		t.Errorf("seeded twice")
	}
	p.signal(t, syscall.SIGINT)
	p.exits(t, 0)
}

func TestKilledServiceKeepsEveryAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := start(t, path)
	p.await(t, "/health", 200)
	for i := range 50 {
		p.put(t, fmt.Sprint("k", i), "kept")
	}
	p.signal(t, syscall.SIGKILL)
	<-p.exited
	p = start(t, path)
	p.await(t, "/health", 200)
	if _, body := p.get("/accounts?limit=1000"); strings.Count(body, `"kept"`) != 50 {
		t.Errorf("%d of 50 are left", strings.Count(body, `"kept"`))
	}
}

func TestTakenPortIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	path := newPath(t)
	p := start(t, path, fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port))
	p.exits(t, 1)
	p.logs(t, fmt.Sprintf("port %d is taken", port))
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made: %v", err)
	}
}

func TestConfigurationFaultsAreAllSaidAndNothingIsOpened(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := start(t, path, "ACCOUNTSERVICE_HTTP_PROT=1", "ACCOUNTSERVICE_CHECKS_INTERVAL=5", "ACCOUNTSERVICE_STORE_SEED=-1")
	p.exits(t, 2)
	for _, want := range []string{"ACCOUNTSERVICE_HTTP_PROT", "ACCOUNTSERVICE_HTTP_PORT", "checks.interval", "store.seed"} {
		p.logs(t, want)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made: %v", err)
	}
}

func TestDamagedDatabaseIsRefusedWithTheCure(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, path)
	p.exits(t, 1)
	p.logs(t, "is empty (0 bytes)")
	p.logs(t, path)
}

func TestHealthAnswersWhileTheDatabaseIsLocked(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := start(t, path)
	first.await(t, "/health", 200)
	second := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=60s")
	body := second.await(t, "/health", 503)
	if !strings.Contains(body, "opening the database") {
		t.Errorf("/health = %s", body)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(body, path) && time.Now().Before(deadline); {
		_, body = second.get("/health")
	}
	if !strings.Contains(body, "another process holds "+path+" locked") || !strings.Contains(body, "stop-first") {
		t.Errorf("/health = %s, want which file is locked and what to set", body)
	}
	second.await(t, "/ready", 503)
	second.await(t, "/accounts/10000", 503)
	second.signal(t, syscall.SIGTERM)
	second.exits(t, 3)
	second.logs(t, "another process holds "+path+" locked; waiting up to 1m0s for it")

	third := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=300ms")
	third.exits(t, 1)
	third.logs(t, "another process has held it locked for 300ms")
	first.await(t, "/accounts/10000", 200)
}

func TestReplacedDatabaseIsUnhealthyAndExits3(t *testing.T) {
	t.Parallel()
	other := start(t, newPath(t))
	other.await(t, "/health", 200)
	other.put(t, "10000", "Restored")
	other.signal(t, syscall.SIGTERM)
	other.exits(t, 0)

	p := start(t, newPath(t), quick...)
	p.await(t, "/health", 200)
	if err := os.Rename(other.path, p.path); err != nil {
		t.Fatal(err)
	}
	body := p.await(t, "/health", 503)
	var h struct{ Failures map[string]string }
	if err := json.Unmarshal([]byte(body), &h); err != nil || !strings.Contains(h.Failures["bolt"], "another file was put at") {
		t.Errorf("/health = %s, %v", body, err)
	}
	p.signal(t, syscall.SIGTERM)
	p.exits(t, 3)
	p.logs(t, "told to stop while unhealthy")

	successor := start(t, p.path)
	successor.await(t, "/health", 200)
	if _, body := successor.get("/accounts/10000"); !strings.Contains(body, "Restored") {
		t.Errorf("successor serves %s", body)
	}
}

func TestDeletedDatabaseIsPutBackForARestart(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+t.TempDir())
	p.await(t, "/health", 200)
	p.put(t, "10000", "Before")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	p.await(t, "/health", 503)
	p.logs(t, "the database was put back")
	p.signal(t, syscall.SIGTERM)
	p.exits(t, 3)

	successor := start(t, p.path, "ACCOUNTSERVICE_STORE_BOLT_CREATE=never")
	successor.await(t, "/health", 200)
	if _, body := successor.get("/accounts/10000"); !strings.Contains(body, "Before") {
		t.Errorf("account 10000 is %s", body)
	}

	refused := start(t, newPath(t), "ACCOUNTSERVICE_STORE_BOLT_RESCUE_DIR="+filepath.Join(t.TempDir(), "none"))
	refused.exits(t, 1)
	refused.logs(t, "store.bolt.rescue_dir")
}

func TestProcessSurvivesATruncatedDatabase(t *testing.T) {
	for _, size := range []int64{0, 8192, 20000} {
		t.Run(fmt.Sprint("to ", size), func(t *testing.T) {
			t.Parallel()
			p := start(t, newPath(t), append(quick, "ACCOUNTSERVICE_STORE_SEED=5000")...)
			p.await(t, "/health", 200)
			if err := os.Truncate(p.path, size); err != nil {
				t.Fatal(err)
			}
			for i := 10000; i < 15000; i += 500 { // requests may come before the check
				if status, body := p.get(fmt.Sprint("/accounts/", i)); status != 200 && status != 503 {
					t.Errorf("account %d = %d %s", i, status, body)
				}
			}
			p.await(t, "/health", 503)
			p.await(t, "/accounts/12345", 503)
			p.signal(t, syscall.SIGTERM)
			p.exits(t, 3)
		})
	}
}

func TestDrainTellsBalancersAndClients(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=2s")
	p.await(t, "/ready", 200)
	p.signal(t, syscall.SIGTERM)
	p.await(t, "/ready", 503)
	p.signal(t, syscall.SIGTERM) // changes nothing
	resp, err := http.Get(p.url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !resp.Close || !strings.Contains(string(body), "told to stop") {
		t.Errorf("/health while draining = %d, close %v: %s", resp.StatusCode, resp.Close, body)
	}
	if status, _ := p.get("/accounts/10000"); status != 200 {
		t.Errorf("account while draining = %d", status)
	}
	p.exits(t, 0)
}

func TestSecondInterruptAborts(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=25s", "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=1s")
	p.await(t, "/ready", 200)
	p.signal(t, syscall.SIGINT)
	p.await(t, "/ready", 503)
	p.signal(t, syscall.SIGINT)
	p.exits(t, 4)
}

func TestRequestsUnderWayAreFinishedOrCutAtTheDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		finish bool
		exit   int
	}{"finished": {true, 0}, "cut": {false, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, newPath(t), "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=3s")
			p.await(t, "/ready", 200)
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			body := `{"name":"slow"}`
			fmt.Fprintf(conn, "PUT /accounts/slow HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
			if n, err := conn.Read(make([]byte, 100)); err != nil || n == 0 { // 100 Continue: the handler reads
				t.Fatal(err)
			}
			p.signal(t, syscall.SIGTERM)
			deadline := time.Now().Add(20 * time.Second)
			for !strings.Contains(p.log.String(), "draining") && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
			if c.finish {
				fmt.Fprint(conn, body)
				if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "201 Created") || !strings.Contains(string(answer), "Connection: close") {
					t.Errorf("answer %q, %v", answer, err)
				}
			}
			p.exits(t, c.exit)
		})
	}
}

func TestSlowConnectionsAreLetGo(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t), "ACCOUNTSERVICE_HTTP_READ_HEADER_TIMEOUT=300ms", "ACCOUNTSERVICE_HTTP_READ_TIMEOUT=600ms", "ACCOUNTSERVICE_HTTP_IDLE_TIMEOUT=300ms")
	p.await(t, "/ready", 200)
	for name, sent := range map[string]string{
		"silent":             "",
		"half a header":      "GET /health HTTP/1.1\r\nHost:",
		"idle":               "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
		"body never arrives": "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conns []net.Conn
			for range 50 {
				conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, sent)
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("still held after 20s")
				}
			}
		})
	}
}

func TestHeaderIsLimited(t *testing.T) {
	t.Parallel()
	p := start(t, newPath(t))
	p.await(t, "/ready", 200)
	req, err := http.NewRequest(http.MethodGet, p.url+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", resp.StatusCode)
	}
}

func TestDependencyOfTheEnvironmentDegrades(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") })}
	go server.Serve(l)
	defer server.Close()
	p := start(t, newPath(t), "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_URL=http://user:hunter2@"+l.Addr().String()+"/health",
		"ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_INTERVAL=1s", "ACCOUNTSERVICE_CHECKS_DEPENDENCIES_USERS_TIMEOUT=900ms")
	p.await(t, "/health/checks/users", 200)
	server.Close()
	p.await(t, "/health/checks/users", 503)
	status, body := p.get("/health")
	if status != 200 || !strings.Contains(body, "Partially Available") || !strings.Contains(body, "connection refused") {
		t.Errorf("/health = %d %s", status, body)
	}
	p.await(t, "/ready", 200)
	if strings.Contains(body+p.log.String(), "hunter2") {
		t.Errorf("the password is shown: %s %s", body, p.log)
	}
}
