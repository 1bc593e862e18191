//go:build linux

package dependencies

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// asker is a process of tests/compare, which asks one dependency by one check.
type asker struct {
	*testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	idle int // goroutines before the first run
}

// answer is a Result of tests/compare.
type answer struct {
	Error      string
	Took       time.Duration
	Goroutines int
}

// newAsker starts one. check is that of health-go, or "" for this service's.
func newAsker(t *testing.T, check, url string) *asker {
	t.Helper()
	cmd := exec.Command(filepath.Join(built, "compare"), "-health-go", check, "-url", url, "-timeout", timeout.String())
	cmd.Stderr = &harness.Buffer{}
	in, err := cmd.StdinPipe()
	harness.Must(t, err)
	out, err := cmd.StdoutPipe()
	harness.Must(t, err)
	harness.Must(t, cmd.Start())
	a := &asker{T: t, cmd: cmd, in: in, out: json.NewDecoder(out)}
	t.Cleanup(a.end)
	a.idle = a.tell("").Goroutines
	return a
}

// ask makes a run.
func (a *asker) ask() answer { a.Helper(); return a.tell("run") }

func (a *asker) tell(line string) (got answer) {
	a.Helper()
	_, err := fmt.Fprintln(a.in, line)
	harness.Must(a.T, err)
	if err := a.out.Decode(&got); err != nil {
		a.Fatalf("%v: %s", err, a.cmd.Stderr)
	}
	return got
}

// held is what an asker has open between two runs.
type held struct{ connections, goroutines int }

// holds is what the process has more than before its first run: connections are its sockets, also those that are still
// connecting.
func (a *asker) holds() (h held) {
	a.Helper()
	h.goroutines = a.tell("").Goroutines - a.idle
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", a.cmd.Process.Pid))
	for _, file := range files {
		if to, _ := os.Readlink(file); strings.HasPrefix(to, "socket:") {
			h.connections++
		}
	}
	return h
}

func (a *asker) end() {
	a.in.Close()
	a.cmd.Process.Kill()
	a.cmd.Wait()
}

// buildModule compiles a package of the module in a folder beside this one.
func buildModule(t *testing.T, folder, pkg, binary string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", binary, pkg)
	build.Dir = filepath.Join("..", folder)
	harness.Output(t, build)
}
