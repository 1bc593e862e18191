package checks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

const starvedEnv = "CHECKS_TEST_STARVED"

// The process that gets no CPU is a child, stopped in the middle of a run.
func TestTimeWithoutCPUIsNotCounted(t *testing.T) {
	if os.Getenv(starvedEnv) != "" {
		run := func(ctx context.Context) error {
			fmt.Println("running")
			select {
			case <-time.After(300 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c := Check{Name: "slow", OnFailure: Restart, Run: run, Interval: 30 * time.Second, Timeout: time.Second,
			FailAfter: 2, PassAfter: 1, StaleAfter: time.Minute}
		p := newProber(c, slog.New(slog.DiscardHandler), newMetrics(), func() {})
		p.probe(context.Background())
		fmt.Printf("result: %q\n", p.result.Load().failure)
		return
	}
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTimeWithoutCPUIsNotCounted$")
	child.Env = append(os.Environ(), starvedEnv+"=1")
	out, err := child.StdoutPipe()
	harness.Must(t, err)
	harness.Must(t, child.Start())
	defer child.Wait()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "running":
			child.Process.Signal(syscall.SIGSTOP)
			<-time.After(2 * time.Second) // twice the timeout
			child.Process.Signal(syscall.SIGCONT)
		case strings.HasPrefix(line, "result: "):
			if line != `result: ""` {
				t.Errorf("%s, want a pass: the check had no CPU in the time that passed", line)
			}
			return
		}
	}
	t.Error("the child said no result")
}

func TestRunContextIsAContextOfItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := newRunContext(t.Context(), Check{Timeout: 990 * time.Millisecond, Interval: time.Second, StaleAfter: time.Minute})
		child, cancel := context.WithCancel(p)
		defer cancel()
		if at, known := child.Deadline(); known || p.Err() != nil {
			t.Errorf("deadline %v, error %v at its beginning; want none", at, p.Err())
		}
		if err, answered := p.await(nil); answered || time.Since(began) != 990*time.Millisecond {
			t.Errorf("await = %v, %v after %s", err, answered, time.Since(began))
		}
		<-child.Done()
		if !errors.Is(p.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("ended with %v, its child with %v", p.Err(), child.Err())
		}
	})
}
