package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
		line := []byte(strings.Repeat("x", 1<<10-1) + "\n")
		fmt.Fprintln(q, "first")
		synctest.Wait() // it is being written, and stands
		const sent = 3 * maxQueuedLog >> 10
		for range sent {
			q.Write(line)
		}
		if err := q.check(t.Context()); err != nil {
			t.Errorf("check before the bound = %v", err)
		}
		time.Sleep(logStuckAfter + time.Second)
		if err := q.check(t.Context()); err == nil || !strings.Contains(err.Error(), "has taken nothing for 3s; 2048 lines were dropped") {
			t.Errorf("check = %v", err)
		}
		close(out.goOn)
		synctest.Wait()
		if err := q.check(t.Context()); err != nil {
			t.Errorf("check after the reader went on = %v", err)
		}
		fmt.Fprintln(q, "last")
		q.close(t.Context())
		lines := strings.Split(strings.TrimSuffix(out.got.String(), "\n"), "\n")
		if got := uint64(len(lines)) - 2 + q.dropped.Load(); got != sent || lines[0] != "first" || lines[len(lines)-1] != "last" {
			t.Errorf("%d of %d lines are written or counted", got, sent)
		}
	})
}

func TestLogWithoutReaderIsReportedAndCounted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	q := newLogQueue(w)
	fmt.Fprintln(q, "nobody reads this")
	q.close(t.Context())
	if err := q.check(t.Context()); err == nil || q.dropped.Load() != 1 {
		t.Errorf("check = %v, dropped %d", err, q.dropped.Load())
	}
}

func TestCloseOfTheLogWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stoppedReader{goOn: make(chan struct{})}
		q := newLogQueue(out)
		io.WriteString(q, "x\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.close(ctx)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Error("close returned before the line was written and before its deadline")
		}
		close(out.goOn)
	})
}
