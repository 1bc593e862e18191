package boltstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestKillsLoseNothingAcknowledged kills a process that writes, again and again on the same file. Each writer goes on
// with the write that was not acknowledged.
func TestKillsLoseNothingAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 8
	if long() {
		rounds = 100
	}
	path := closed(t, 100)
	var acks [powerWriters]int
	for round := range rounds {
		killed(t, path, rand.IntN(200), &acks)
		if err := judge(t, path, acks); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	total := 0
	for _, n := range acks {
		total += n
	}
	t.Logf("%d rounds, %d acknowledged writes", rounds, total)
	if total < rounds*10 {
		t.Errorf("only %d writes were acknowledged in %d rounds", total, rounds)
	}
}

// killed runs the writing process and kills it after this many acknowledgements. It adds all it heard to acks.
func killed(t *testing.T, path string, after int, acks *[powerWriters]int) {
	t.Helper()
	cmd := child("write", path, "/dev/stdout", "with sync", "1000000", fmt.Sprint(*acks))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stop.Stop()
	if after == 0 {
		must(t, cmd.Process.Kill())
	}
	heard := 0
	for lines := bufio.NewScanner(out); lines.Scan(); { // to its end: what it said before it died counts
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil || n != acks[w]+1 {
			t.Fatalf("%q after %d: %v", lines.Text(), acks[w], err)
		}
		acks[w] = n
		if heard++; heard == after {
			must(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) ||
		exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || heard < after {
		t.Fatalf("child: %v after %d acknowledgements; want it killed after %d", err, heard, after)
	}
}
