package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// folder has the program that binary builds.
var folder string

func TestMain(m *testing.M) {
	os.Exit(func() (code int) {
		var err error
		if folder, err = os.MkdirTemp("", "accountservice"); err == nil {
			defer os.RemoveAll(folder)
			err = errors.Join(os.Chmod(folder, 0o755), // for other users
				os.Setenv("GORACE", "atexit_sleep_ms=0")) // the race detector's own second at each exit
		}
		if err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// binary returns the service as a program, which is built once: the tests start it as a process of its own, with its real
// signals, exit codes and files. It is not the program of the tests, whose libraries make each start half as long again.
// It looks for races if the tests do.
var binary = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	race := slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	path := filepath.Join(folder, "accountservice")
	out, err := exec.Command("go", "build", fmt.Sprint("-race=", race), "-buildvcs=false", "-ldflags=-s -w", "-o", path,
		".").CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	return path
})

// quick has a fault seen soon. On a busy machine it can be seen where there is none, so it is for tests that want one.
var quick = []string{"ACCOUNTSERVICE_CHECKS_INTERVAL=300ms", "ACCOUNTSERVICE_CHECKS_TIMEOUT=200ms"}

// start runs the service on a free port, with checks that a busy machine does not turn; env adds to that or overrides
// it.
func start(t testing.TB, path string, env ...string) *harness.Process {
	t.Helper()
	return harness.Start(t, exec.Command(binary()), path, append([]string{
		"ACCOUNTSERVICE_CHECKS_INTERVAL=5s",
		"ACCOUNTSERVICE_CHECKS_TIMEOUT=4s",
		"ACCOUNTSERVICE_CHECKS_STALE_AFTER=60s",
	}, env...)...)
}

// ready is start, and returns when the service is ready.
func ready(t testing.TB, path string, env ...string) *harness.Process {
	t.Helper()
	p := start(t, path, env...)
	p.Await(t, "/ready", 200)
	return p
}

func newPath(t testing.TB) string { t.Helper(); return filepath.Join(t.TempDir(), "accounts.db") }

// dial opens a connection to the server at a URL, until the test ends.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	_, addr, _ := strings.Cut(url, "://")
	conn, err := net.Dial("tcp", addr)
	harness.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// absent wants that there is no file at path.
func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was made: %v", path, err)
	}
}

func TestServesSeededAccountsAndKeepsChanges(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := ready(t, path)
	for id, name := range map[string]string{"10000": "Person_0", "10099": "Person_99"} {
		p.Answers(t, "/accounts/"+id, 200, name)
	}
	p.Logs(t, "Seeded 100 fake accounts")
	p.Put(t, "10000", "Changed")
	p.Stop(t, 0)

	p = ready(t, path)
	p.Answers(t, "/accounts/10000", 200, "Changed")
	p.NeverLogged(t, "Seeded 100")
	p.Signal(t, syscall.SIGINT)
	p.Exits(t, 0)
}

func TestHealthAnswersWhileTheDatabaseIsLocked(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := ready(t, path)
	second := start(t, path, "ACCOUNTSERVICE_STORE_BOLT_OPEN_TIMEOUT=60s", "ACCOUNTSERVICE_HTTP_HOLD=0s")
	second.Await(t, "/health", 503)
	second.Answers(t, "/health", 503, "opening the database")
	second.Says(t, "/health", "another process holds "+path+" locked")
	second.Answers(t, "/health", 503, "stop-first")
	second.Await(t, "/ready", 503)
	harness.WaitFor(t, 20*time.Second, "an answer that waits for no database, as http.hold is 0", func() bool {
		begun := time.Now()
		status, _ := second.Get("/accounts/10000")
		return status == 503 && time.Since(begun) < 3*time.Second // of the 5 s that it may wait by default
	})
	second.Stop(t, 3)
	second.Logs(t, "another process holds "+path+" locked; waiting up to 1m0s for it")
	first.Await(t, "/accounts/10000", 200)
}

func TestProcessSurvivesATruncatedDatabase(t *testing.T) {
	for size, says := range map[int64]string{0: "is empty", 8192: "is cut short", 20000: "is cut short"} {
		t.Run(fmt.Sprint("to ", size), func(t *testing.T) {
			t.Parallel()
			p := ready(t, newPath(t), append(quick, "ACCOUNTSERVICE_STORE_SEED=5000")...)
			harness.Must(t, os.Truncate(p.Path, size))
			for i := 10000; i < 15000; i += 500 { // requests may come before the check
				if status, body := p.Get(fmt.Sprint("/accounts/", i)); status != 200 && status != 503 {
					t.Errorf("account %d = %d %s", i, status, body)
				}
			}
			p.Await(t, "/health", 503)
			p.Await(t, "/accounts/12345", 503)
			status := beside(t, p, "status")
			status.is(t, 1, "dev: Unavailable, not ready\nCHECK ", "")
			status.is(t, 1, says, "")
			p.Stop(t, 3)
		})
	}
}

func TestDrainTellsBalancersAndClients(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=2s")
	p.Signal(t, syscall.SIGTERM)
	p.Await(t, "/ready", 503)
	p.Signal(t, syscall.SIGTERM) // changes nothing
	resp, err := http.Get(p.URL + "/health")
	harness.Must(t, err)
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !resp.Close || !strings.Contains(string(body), "told to stop") {
		t.Errorf("/health while draining = %d, close %v: %s", resp.StatusCode, resp.Close, body)
	}
	p.Answers(t, "/accounts/10000", 200, "")
	p.Exits(t, 0)
}

// docker stop does this to a container that is paused: the signal comes before the process goes on.
func TestHealthyServiceThatIsPausedAndToldToStopExits0(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_CHECKS_INTERVAL=1s", "ACCOUNTSERVICE_CHECKS_TIMEOUT=900ms")
	p.Signal(t, syscall.SIGSTOP)
	<-time.After(5500 * time.Millisecond) // an answer stands for 5 s
	p.Signal(t, syscall.SIGTERM)
	p.Signal(t, syscall.SIGCONT)
	p.Exits(t, 0)
}

func TestRequestsUnderWayAreFinished(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=3s")
	conn := dial(t, p.URL)
	body := `{"name":"slow"}`
	fmt.Fprintf(conn, "PUT /accounts/slow HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	if n, err := conn.Read(make([]byte, 100)); err != nil || n == 0 { // 100 Continue: the handler reads
		t.Fatal(err)
	}
	p.Signal(t, syscall.SIGTERM)
	p.Logs(t, "draining")
	fmt.Fprint(conn, body)
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "201 Created") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("answer %q, %v", answer, err)
	}
	p.Exits(t, 0)
}

// Who could connect gets an answer: of a write that got none, a proxy cannot know whether it may be sent again.
func TestStopUnderLoadAnswersEachRequestOfANewConnection(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux, where a listener can refuse new connections and keep those it has")
	}
	for range 4 {
		p := ready(t, newPath(t))
		addr := strings.TrimPrefix(p.URL, "http://")
		var answered atomic.Int64
		var clients sync.WaitGroup
		for n := range 8 {
			clients.Go(func() {
				for m := 0; ; m++ {
					conn, err := net.Dial("tcp", addr)
					if err != nil {
						return
					}
					conn.SetDeadline(time.Now().Add(20 * time.Second))
					fmt.Fprintf(conn, "PUT /accounts/new-%d-%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"x\"}", n, m)
					answer, err := io.ReadAll(conn)
					conn.Close()
					if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 201 ") {
						t.Errorf("%.200q, %v; want 201", answer, err)
						return
					}
					answered.Add(1)
				}
			})
		}
		harness.WaitFor(t, 20*time.Second, "a load", func() bool { return answered.Load() >= 50 })
		p.Stop(t, 0)
		clients.Wait()
	}
}

func TestSlowConnectionsAreLetGo(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), "ACCOUNTSERVICE_HTTP_READ_HEADER_TIMEOUT=300ms", "ACCOUNTSERVICE_HTTP_READ_TIMEOUT=600ms", "ACCOUNTSERVICE_HTTP_IDLE_TIMEOUT=300ms")
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
				conn := dial(t, p.URL)
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

// What a proxy that goes by Content-Length would take for the next request is not answered on the same connection.
func TestBodyOfTwoLengthsClosesItsConnection(t *testing.T) {
	t.Parallel()
	p := ready(t, newPath(t), anyAdmin)
	const hidden = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for request, url := range map[string]string{"PUT /accounts/two": p.URL, "GET /accounts": p.URL, "GET /nothing": p.URL,
		"PUT /maintenance": p.Admin(t), "GET /metrics": p.Admin(t)} {
		for _, lengths := range []string{"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
			"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"} {
			conn := dial(t, url)
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s\r\nc\r\n{\"name\":\"x\"}\r\n0\r\n\r\n%s",
				request, lengths, hidden)
			answer, err := io.ReadAll(conn)
			if err != nil || strings.Count(string(answer), "HTTP/1.1 ") != 1 || !strings.Contains(string(answer), "Connection: close") {
				t.Errorf("%s, %q: %.300q, %v; want one answer, and the connection closed", request, lengths, answer, err)
			}
		}
	}
}
