package boltstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// long says whether the tests do all of their work, for minutes, or as much as
// suits every change.
func long() bool { return os.Getenv("STORE_TEST_LONG") != "" }

const killWriters = 8

func killID(w, n int) store.ID { return store.ID(fmt.Sprintf("w%d-%d", w, n%5)) }
func killKey(w, n int) string  { return fmt.Sprintf("writer %d, request %d", w, n) }
func killDraft(n int) store.Draft {
	return store.Draft{Name: fmt.Sprint(n), Labels: map[string]string{"n": fmt.Sprint(n)}}
}

func init() {
	childProcesses["write once and die before it answers"] = func(args []string) {
		s, err := Open(context.Background(), Options{Path: args[0], OpenTimeout: 5 * time.Second})
		if err == nil {
			_, err = s.Put(context.Background(), "1", store.Draft{Name: "x"}, once("key"))
		}
		if err != nil {
			panic(err)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it is on its way
	}
	childProcesses["write until it is killed"] = func(args []string) {
		s, err := Open(context.Background(), Options{Path: args[0], OpenTimeout: 5 * time.Second, MustExist: true})
		first, argErr := strconv.Atoi(args[1])
		if err != nil || argErr != nil {
			panic(fmt.Sprint(err, argErr))
		}
		for w := range killWriters {
			go func() {
				for n := first; ; n++ {
					if _, err := s.Put(context.Background(), killID(w, n), killDraft(n), once(killKey(w, n))); err != nil {
						panic(err)
					}
					fmt.Printf("%d %d\n", w, n) // one system call
				}
			}()
		}
		select {}
	}
}

func TestAnswerSurvivesAKillBetweenCommitAndAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	cmd := child("write once and die before it answers", path)
	out, err := cmd.CombinedOutput()
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL || len(out) != 0 {
		t.Fatalf("child: %v, %s; want it killed", err, out)
	}
	s := openAt(t, path)
	if got, err := storetest.Lookup(t, s, "key", fingerprint("key")); string(got) != "1 key" || err != nil {
		t.Errorf("Lookup = %q, %v", got, err)
	}
	if w := putOnce(t, s, "1", "key"); string(w.Replay) != "1 key" {
		t.Errorf("Put again = %+v, want the answer", w)
	}
	if acc, err := s.Get(t.Context(), "1"); err != nil || acc.Version != 1 {
		t.Errorf("account = %+v, %v; want version 1", acc, err)
	}
}

// TestKillsLoseNothingAcknowledged kills a process that writes, again and again
// on the same file.
func TestKillsLoseNothingAcknowledged(t *testing.T) {
	rounds := 20
	if long() {
		rounds = 100
	}
	s, path := seeded(t, 100)
	storetest.Close(t, s)
	acked := make(map[int][]int) // per writer, in order
	first := 0
	for round := range rounds {
		highest := killed(t, path, first, rand.IntN(200), acked)
		first = highest + 1000 // above what was written and not acknowledged
		if report, err := verified(t, path); err != nil || !report.Intact {
			t.Fatalf("round %d: verify: %v, %v", round, report.Findings, err)
		}
		checkAcked(t, path, round, acked)
	}
	total := 0
	for _, ns := range acked {
		total += len(ns)
	}
	t.Logf("%d rounds, %d acknowledged writes", rounds, total)
	if total < rounds*10 {
		t.Errorf("only %d writes were acknowledged in %d rounds", total, rounds)
	}
}

// killed runs the writing process and kills it after this many
// acknowledgements. It adds all it heard to acked.
func killed(t *testing.T, path string, first, after int, acked map[int][]int) (highest int) {
	t.Helper()
	cmd := child("write until it is killed", path, fmt.Sprint(first))
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
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		acked[w] = append(acked[w], n)
		highest = max(highest, n)
		if heard++; heard == after {
			must(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || heard < after {
		t.Fatalf("child: %v after %d acknowledgements; want it killed after %d", err, heard, after)
	}
	return max(highest, first)
}

// checkAcked opens the file and looks for each acknowledged write and its answer.
func checkAcked(t *testing.T, path string, round int, acked map[int][]int) {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path, OpenTimeout: time.Second, MustExist: true})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer storetest.Close(t, s)
	var wg sync.WaitGroup
	for w, ns := range acked {
		wg.Go(func() {
			last := make(map[store.ID]int)
			for _, n := range ns {
				last[killID(w, n)] = n
				answer, err := storetest.Lookup(t, s, killKey(w, n), fingerprint(killKey(w, n)))
				var version int64
				if _, scanErr := fmt.Sscan(string(answer), &version); err != nil || scanErr != nil {
					t.Errorf("round %d: the answer of writer %d to %d is lost: %q, %v", round, w, n, answer, err)
				}
			}
			for id, n := range last {
				acc, err := s.Get(t.Context(), id)
				stored, _ := strconv.Atoi(acc.Name)
				if err != nil || stored < n || acc.Labels["n"] != acc.Name {
					t.Errorf("round %d: %s has write %q, %v; %d was acknowledged", round, id, acc.Name, err, n)
				}
			}
		})
	}
	wg.Wait()
}
