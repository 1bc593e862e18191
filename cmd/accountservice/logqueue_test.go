package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// stoppedReader is the pipe of a log whose reader can stand still.
type stoppedReader struct {
	goOn chan struct{}
	got  bytes.Buffer
}

func (r *stoppedReader) Write(p []byte) (int, error) {
	<-r.goOn
	return r.got.Write(p)
}

func TestLogNeverWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stoppedReader{goOn: make(chan struct{})}
		q := newLogQueue(out)
		fmt.Fprintln(q, "first")
		synctest.Wait() // it is being written, and stands
		const sent = 3 * maxQueuedLog
		for range sent {
			fmt.Fprintln(q, "x")
		}
		if err := q.check(t.Context()); err == nil || !strings.Contains(err.Error(), "is slow; 8192 lines were dropped, 8192 of them") {
			t.Errorf("check before the bound = %v", err)
		}
		if err := q.check(t.Context()); err != nil {
			t.Errorf("check before the bound, without a line = %v", err)
		}
		time.Sleep(logStuckAfter + time.Second)
		if err := q.check(t.Context()); err == nil || !strings.Contains(err.Error(), "has taken nothing for 3s; 8192 lines were dropped") {
			t.Errorf("check = %v", err)
		}
		close(out.goOn)
		synctest.Wait()
		if err := q.check(t.Context()); err != nil {
			t.Errorf("check after the reader went on = %v", err)
		}
		fmt.Fprintln(q, "last")
		q.close(time.Second)
		lines := strings.Split(strings.TrimSuffix(out.got.String(), "\n"), "\n")
		if got := uint64(len(lines)) - 2 + q.dropped.Load(); got != sent || lines[0] != "first" || lines[len(lines)-1] != "last" {
			t.Errorf("%d of %d lines are written or counted", got, sent)
		}
	})
}

func TestCloseOfTheLogWaitsNoLongerThanItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stoppedReader{goOn: make(chan struct{})}
		q := newLogQueue(out)
		io.WriteString(q, "x\n")
		synctest.Wait()
		begun := time.Now()
		q.close(time.Second)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("close took %s, want its limit of a second", took)
		}
		close(out.goOn)
	})
}

// unreadLog is a small pipe for a log that nobody reads.
func unreadLog(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	harness.Must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// withLog runs a service that logs each request to w.
func withLog(t *testing.T, w *os.File, env ...string) *harness.Process {
	t.Helper()
	cmd := exec.Command(binary())
	cmd.Stdout, cmd.Stderr = w, w
	p := harness.Start(t, cmd, newPath(t), slices.Concat(quick, []string{"ACCOUNTSERVICE_LOG_LEVEL=debug"}, env)...)
	p.Await(t, "/ready", 200)
	return p
}

// clogged is a service whose log nobody reads, and the pipe to its reader is full.
func clogged(t *testing.T, env ...string) *harness.Process {
	t.Helper()
	_, w := unreadLog(t)
	p := withLog(t, w, env...)
	for i := range 2000 { // each is a line, and a pipe takes 64 KiB
		p.Put(t, fmt.Sprint("a", i%10), "A")
	}
	p.Says(t, "/health/checks/log", "the reader of the log has taken nothing")
	return p
}

func TestServiceGoesOnWhileNobodyReadsItsLog(t *testing.T) {
	t.Parallel()
	p := clogged(t)
	p.Await(t, "/health", 200)
	p.Stop(t, 0)
}

func TestSecondInterruptAbortsWhileNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	p := clogged(t, "ACCOUNTSERVICE_HTTP_DRAIN_DELAY=25s", "ACCOUNTSERVICE_HTTP_SHUTDOWN_TIMEOUT=1s")
	p.Signal(t, syscall.SIGINT)
	p.Await(t, "/ready", 503)
	p.Signal(t, syscall.SIGINT)
	p.Exits(t, 4)
}

func TestServiceGoesOnWithoutAReaderOfItsLog(t *testing.T) {
	t.Parallel()
	r, w := unreadLog(t)
	p := withLog(t, w)
	r.Close()
	p.Says(t, "/health/checks/log", "broken pipe")
	p.Put(t, "a", "A")
	p.Await(t, "/health", 200)
	p.Stop(t, 0)
}

func TestEverySignalToStopDrains(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := ready(t, newPath(t))
			p.Signal(t, s)
			p.Exits(t, 0)
			p.Logs(t, `"msg":"stopped"`)
		})
	}
}
