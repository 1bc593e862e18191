//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaries is the folder of the two programs, built once by TestMain.
var binaries string

// service is a running accountservice.
type service struct {
	cmd  *exec.Cmd
	url  string
	port int
	log  *logBuffer
	done chan struct{} // closed when it has ended
	code int           // its exit code, once done is closed
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startService runs the real binary on a database with its published defaults;
// only the address differs, and what env says. as, if not nil, is its user.
func startService(t *testing.T, path string, as *syscall.Credential, env ...string) *service {
	t.Helper()
	port := freePort(t)
	s := &service{url: fmt.Sprintf("http://127.0.0.1:%d", port), port: port, log: &logBuffer{}, done: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(binaries, "accountservice"))
	s.cmd.Dir = "/" // a working directory in the place would keep it mounted
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ACCOUNTSERVICE_") {
			s.cmd.Env = append(s.cmd.Env, variable)
		}
	}
	s.cmd.Env = append(s.cmd.Env, "ACCOUNTSERVICE_HTTP_HOST=127.0.0.1", fmt.Sprint("ACCOUNTSERVICE_HTTP_PORT=", port),
		"ACCOUNTSERVICE_ADMIN_ADDR=off", "ACCOUNTSERVICE_STORE_BOLT_PATH="+path)
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	must(t, s.cmd.Start())
	go func() {
		s.cmd.Wait()
		s.code = s.cmd.ProcessState.ExitCode()
		close(s.done)
	}()
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePort never gives the same port twice, though it is free again meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !ports.given[port] {
			ports.given[port] = true
			return port
		}
	}
}

func (s *service) lives() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// ended waits for the end of the process.
func (s *service) ended(patience time.Duration) bool {
	select {
	case <-s.done:
		return true
	case <-time.After(patience):
		return false
	}
}

// answer is what /health or /ready said, or why it said nothing.
type answer struct {
	code      int    // 0 when there was no answer
	silence   string // why not
	Status    string
	Timestamp time.Time
	Failures  map[string]string
	Checks    map[string]struct {
		Status      string
		OnFailure   string    `json:"on_failure"`
		LastSuccess time.Time `json:"last_success"`
		Error       string
	}
}

// patience is the probe's own: an answer that comes later is none.
const patience = 2 * time.Second

// fresh asks on a new connection each time, as a probe does.
var fresh = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

func (s *service) ask(path string) answer { return s.askWith(fresh, path) }

func (s *service) askWith(client *http.Client, path string) (a answer) {
	resp, err := client.Get(s.url + path)
	if err != nil {
		return answer{silence: why(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{silence: why(err)}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{silence: "no JSON: " + string(body)}
	}
	a.code = resp.StatusCode
	return a
}

// why says shortly what became of a request without an answer.
func why(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "connection closed"
	}
	return err.Error()
}

func (a answer) String() string {
	if a.code == 0 {
		return a.silence
	}
	return fmt.Sprint(a.code)
}

// words is what a check says, or all checks that fail when name is "".
func (a answer) words(name string) string {
	if text := a.Failures[name]; text != "" {
		return text
	}
	if text := a.Checks[name].Error; text != "" {
		return text
	}
	for other, text := range a.Failures {
		if name == "" || a.code != http.StatusOK {
			return other + ": " + text
		}
	}
	return a.silence
}

// await polls until /health is 200.
func (s *service) await(patience time.Duration) bool {
	return eventually(func() error {
		if !s.lives() || s.ask("/health").code == 200 {
			return nil
		}
		return errors.New("not yet")
	}, patience) == nil && s.lives()
}

// probe runs the health checker as Docker would.
func (s *service) probe() (code int, line string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "healthchecker"), fmt.Sprint("-port=", s.port))
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(out))
}

// holds counts the file descriptors and threads of the process.
func (s *service) holds() (fds, threads int) {
	pid := fmt.Sprint("/proc/", s.cmd.Process.Pid)
	open, _ := os.ReadDir(pid + "/fd")
	tasks, _ := os.ReadDir(pid + "/task")
	return len(open), len(tasks)
}

// peak is the most memory that the process ever had, in bytes.
func (s *service) peak() (bytes int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if _, rest, found := strings.Cut(string(text), "VmHWM:"); found {
		fmt.Sscan(rest, &bytes)
	}
	return bytes << 10
}

// threads says what each thread does, for a process that answers nothing.
func (s *service) threads() string {
	var b strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.cmd.Process.Pid))
	for _, task := range tasks {
		stat, _ := os.ReadFile(task + "/stat")
		state, _, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " 0 ")
		wait, _ := os.ReadFile(task + "/wchan")
		call, _ := os.ReadFile(task + "/syscall")
		fmt.Fprintf(&b, "%s: state %.2s, waits in %s, system call %s\n", filepath.Base(task), state, wait, strings.TrimSpace(string(call)))
	}
	return b.String()
}

// errorLines are the messages of level ERROR in the log, with their cause.
func (s *service) errorLines() (lines []string) {
	for line := range strings.Lines(s.log.String()) {
		var entry struct{ Level, Msg, Err string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			lines = append(lines, strings.TrimSpace(line)) // not of the logger: a crash
		} else if entry.Level == "ERROR" {
			lines = append(lines, strings.TrimPrefix(entry.Msg+": "+entry.Err, "stopped: "))
		}
	}
	return lines
}

// stop tells the service to end, as Swarm does, and says how it did.
func (s *service) stop() (how stopped) {
	began := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if !s.ended(25 * time.Second) {
		how.killed = true
		s.cmd.Process.Kill()
		how.held = !s.ended(3 * time.Second)
	}
	how.took = time.Since(began)
	if !how.held {
		how.code = s.code
	}
	how.said = strings.Contains(s.log.String(), `"msg":"stopped"`)
	return how
}

// stopped is how a process ended.
type stopped struct {
	code   int
	took   time.Duration
	killed bool // by SIGKILL, after 25 s
	held   bool // by the kernel even then
	said   bool // it ended itself, and only the kernel still held it
}

func (h stopped) String() string {
	switch {
	case h.held && h.said:
		return "ended itself; the kernel keeps its threads until the disk answers"
	case h.held:
		return "not within 25 s; after SIGKILL the kernel keeps it until the disk answers"
	case h.killed:
		return "not within 25 s; SIGKILL"
	}
	return fmt.Sprintf("exit %d after %s", h.code, rounded(h.took))
}

// eventually calls f until it succeeds or patience, 10 seconds, is over.
func eventually(f func() error, patience ...time.Duration) error {
	limit := 10 * time.Second
	if len(patience) > 0 {
		limit = patience[0]
	}
	deadline := time.Now().Add(limit)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		err := f()
		if err == nil || time.Now().After(deadline) {
			tick.Stop()
			return err
		}
	}
}
