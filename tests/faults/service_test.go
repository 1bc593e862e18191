//go:build linux

package faults

import (
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
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// service is a running accountservice.
type service struct{ *harness.Process }

// startService runs the real binary on a database with its published defaults;
// only the address differs, and what env says. as, if not nil, is its user.
func startService(t *testing.T, path string, as *syscall.Credential, env ...string) *service {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "bin/accountservice"))
	cmd.Dir = "/" // a working directory in the place would keep it mounted
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return &service{harness.Start(t, cmd, path, env...)}
}

// answer is what /health or /ready said, or why it said nothing.
type answer struct {
	code    int    // 0 when there was no answer
	silence string // why not
	harness.Health
}

// probeLimit is the probe's own: an answer that comes later is none.
const probeLimit = 2 * time.Second

// fresh asks on a new connection each time, as a probe does.
var fresh = &http.Client{Timeout: probeLimit, Transport: &http.Transport{DisableKeepAlives: true}}

func (s *service) ask(path string) answer { return s.askWith(fresh, path) }

func (s *service) askWith(client *http.Client, path string) (a answer) {
	resp, err := client.Get(s.URL + path)
	if err != nil {
		return answer{silence: why(err)}
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return answer{silence: why(err)}
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

// healthy waits until /health is 200, and returns why it is not.
func (s *service) healthy(limit time.Duration) error {
	return harness.Eventually(limit, func() error {
		running := s.Running()
		switch a := s.ask("/health"); {
		case a.code == http.StatusOK:
			return nil
		case !running:
			return fmt.Errorf("%w: exit code %d", harness.ErrEnded, s.Code())
		default:
			return fmt.Errorf("/health = %s %s", a, a.words(""))
		}
	})
}

// probe runs the health checker as Docker would.
func (s *service) probe() (code int, line string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin/healthchecker"), fmt.Sprint("-port=", s.Port))
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(out))
}

// holds counts the file descriptors and threads of the process.
func (s *service) holds() (fds, threads int) {
	pid := fmt.Sprint("/proc/", s.Cmd.Process.Pid)
	open, _ := os.ReadDir(pid + "/fd")
	tasks, _ := os.ReadDir(pid + "/task")
	return len(open), len(tasks)
}

// errorLines are the messages of level ERROR in the log, with their cause.
func (s *service) errorLines() (lines []string) {
	for line := range strings.Lines(s.Log.String()) {
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
	s.Cmd.Process.Signal(syscall.SIGTERM)
	if !s.Ended(25 * time.Second) {
		how.killed = true
		s.Cmd.Process.Kill()
		how.held = !s.Ended(3 * time.Second)
	}
	how.took = time.Since(began)
	if !how.held {
		how.code = s.Code()
	}
	how.said = strings.Contains(s.Log.String(), `"msg":"stopped"`)
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
