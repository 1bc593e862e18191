// Package harness runs the service and the probe as processes for tests. It knows how they are built, started, asked
// and ended, and nothing of what they must answer. Only tests import it.
package harness

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Limits of the waiting for a process. They are long: only a test that fails uses them up.
const (
	answerLimit = 20 * time.Second
	exitLimit   = 30 * time.Second
)

// Build compiles the service and the probe into a folder. The caller's package is two folders below the repository, of
// whatever module it is.
func Build(folder string) error {
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", folder+"/",
		"accountservice/cmd/accountservice", "accountservice/healthchecker")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Main runs the tests of a package. If they are wanted, it makes a folder before, whose name begins so, and builds both
// programs into its bin; all users can come there. It is removed after.
func Main(m *testing.M, wanted bool, name string, folder *string) {
	os.Exit(func() int {
		if !wanted {
			return m.Run()
		}
		var err error
		if *folder, err = os.MkdirTemp("", name); err == nil {
			defer os.RemoveAll(*folder)
			err = errors.Join(os.Chmod(*folder, 0o755), Build(filepath.Join(*folder, "bin")))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// Process is a running service.
type Process struct {
	Cmd   *exec.Cmd
	Path  string // of its database
	URL   string
	Port  int
	Log   *Buffer       // standard output and error
	ended chan struct{} // closed when it has ended
}

// Start runs cmd as a service of the database at path, on a free port of loopback and without the operators' listener.
// Its output goes to Log unless cmd has a Stderr. env adds to the environment or overrides it; settings of the test's
// own environment are left out. The process is killed when the test ends.
func Start(tb testing.TB, cmd *exec.Cmd, path string, env ...string) *Process {
	tb.Helper()
	p := &Process{Cmd: cmd, Path: path, Port: Port(tb), Log: &Buffer{}, ended: make(chan struct{})}
	p.URL = fmt.Sprint("http://127.0.0.1:", p.Port)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ACCOUNTSERVICE_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", p.Port),
		"ACCOUNTSERVICE_ADMIN_ADDR=off", "ACCOUNTSERVICE_STORE_BOLT_PATH="+path)
	cmd.Env = append(cmd.Env, env...)
	if cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = p.Log, p.Log
	}
	Must(tb, cmd.Start())
	go func() {
		defer close(p.ended)
		cmd.Wait()
	}()
	tb.Cleanup(func() {
		p.Cmd.Process.Kill()
		p.Ended(5 * time.Second) // the kernel keeps one longer whose disk hangs
		if tb.Failed() {
			tb.Logf("log of the service:\n%s", shorten(p.Log.String()))
		}
	})
	return p
}

// shorten keeps the head and the tail of a long log.
func shorten(log string) string {
	const most = 4000
	if len(log) <= 2*most {
		return log
	}
	return log[:most] + "\n...\n" + log[len(log)-most:]
}

// Ended waits for the end of the process and reports whether it came within limit.
func (p *Process) Ended(limit time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// Running is false once the process has ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Code is the exit code of a process that has ended, -1 if a signal ended it.
func (p *Process) Code() int { return p.Cmd.ProcessState.ExitCode() }

// Signal sends a signal to the process.
func (p *Process) Signal(tb testing.TB, s os.Signal) { tb.Helper(); Must(tb, p.Cmd.Process.Signal(s)) }

// Kill ends the process by SIGKILL and waits for its end.
func (p *Process) Kill(tb testing.TB) { tb.Helper(); p.Signal(tb, syscall.SIGKILL); p.Exits(tb, -1) }

// Stop tells the process to end, as an orchestrator does, and wants this exit code.
func (p *Process) Stop(tb testing.TB, code int) {
	tb.Helper()
	p.Signal(tb, syscall.SIGTERM)
	p.Exits(tb, code)
}

// Exits waits for the end of the process and wants this exit code.
func (p *Process) Exits(tb testing.TB, want int) {
	tb.Helper()
	if !p.Ended(exitLimit) {
		tb.Fatalf("still running after %s", exitLimit)
	}
	if got := p.Code(); got != want {
		tb.Errorf("exit code %d, want %d", got, want)
	}
}

// until waits until something is so, as long as the process runs. What was there last is in the failure.
func (p *Process) until(tb testing.TB, want string, so func() (bool, string)) {
	tb.Helper()
	Must(tb, Eventually(answerLimit, func() error {
		running := p.Running() // before it is asked: an ended process has said all
		met, last := so()
		switch {
		case met:
			return nil
		case !running:
			return fmt.Errorf("%w with exit code %d, want %s, got %s", ErrEnded, p.Code(), want, last)
		}
		return fmt.Errorf("want %s, got %s", want, last)
	}))
}

// Logs waits until the log has this text, and fails the test if it never has.
func (p *Process) Logs(tb testing.TB, want string) {
	tb.Helper()
	p.until(tb, "a log with "+want, func() (bool, string) {
		return strings.Contains(p.Log.String(), want), "a log without it"
	})
}

// NeverLogged fails the test if the log has one of these texts.
func (p *Process) NeverLogged(tb testing.TB, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if log := p.Log.String(); strings.Contains(log, text) {
			tb.Errorf("%s is in the log:\n%s", text, log)
		}
	}
}

// Get asks the service for path and returns status and body; see Ask.
func (p *Process) Get(path string) (status int, body string) { return Ask("GET", p.URL+path, "") }

// Answers asks for path once, and wants this status and text in the answer.
func (p *Process) Answers(tb testing.TB, path string, status int, text string) {
	tb.Helper()
	if got, body := p.Get(path); got != status || !strings.Contains(body, text) {
		tb.Errorf("%s = %d %s, want %d and %q", path, got, body, status, text)
	}
}

// Await asks for path until the answer has this status, and returns its body.
func (p *Process) Await(tb testing.TB, path string, want int) (body string) {
	tb.Helper()
	p.until(tb, fmt.Sprintf("%s = %d", path, want), func() (bool, string) {
		var got int
		got, body = p.Get(path)
		return got == want, fmt.Sprint(got, " ", body)
	})
	return body
}

// Says asks for path until the body of the answer has this text, and returns it.
func (p *Process) Says(tb testing.TB, path, want string) (body string) {
	tb.Helper()
	p.until(tb, path+" to say "+want, func() (bool, string) {
		_, body = p.Get(path)
		return strings.Contains(body, want), body
	})
	return body
}

// Admin is where operators are served, as the log says it. The environment must give ACCOUNTSERVICE_ADMIN_ADDR.
func (p *Process) Admin(tb testing.TB) (url string) {
	tb.Helper()
	p.Logs(tb, `"admin.addr":"`)
	_, rest, _ := strings.Cut(p.Log.String(), `"admin.addr":"`)
	addr, _, _ := strings.Cut(rest, `"`)
	return "http://" + addr
}

// Put writes an account with this name, which must be accepted.
func (p *Process) Put(tb testing.TB, id, name string) {
	tb.Helper()
	if status, body := Ask("PUT", p.URL+"/accounts/"+id, fmt.Sprintf(`{"name":%q}`, name)); status/100 != 2 {
		tb.Fatalf("PUT %s = %d %s", id, status, body)
	}
}

// Cursor leads to the page after an account: it is that of the first page with another id at its end.
func (p *Process) Cursor(tb testing.TB, id string) string {
	tb.Helper()
	var first struct {
		Items []struct{ ID string }
		Next  string `json:"next_cursor"`
	}
	_, body := p.Get("/accounts?limit=1")
	Must(tb, json.Unmarshal([]byte(body), &first))
	content, err := base64.RawURLEncoding.DecodeString(first.Next)
	Must(tb, err)
	return base64.RawURLEncoding.EncodeToString([]byte(strings.TrimSuffix(string(content), first.Items[0].ID) + id))
}

// Result is what became of a program that ended by itself.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs a program to its end.
func Run(tb testing.TB, cmd *exec.Cmd) Result {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Output runs a program that must succeed, and returns what it prints.
func Output(tb testing.TB, cmd *exec.Cmd) string {
	tb.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
