package boltstore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHungWorkerIsKilledInTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	worker := child("hang")
	report, err := Verify(ctx, "accounts.db", worker)
	if !errors.Is(err, context.DeadlineExceeded) || report.Intact || len(report.Findings) != 0 {
		t.Errorf("%+v, %v; want no verdict, for the time was up", report, err)
	}
	if worker.ProcessState == nil {
		t.Errorf("the worker still runs")
	}
}

func TestHungWorkerLeavesWhatItFound(t *testing.T) {
	t.Parallel()
	found := filepath.Join(t.TempDir(), "found")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(found); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	report, err := Verify(ctx, "accounts.db", child("find something and hang", found))
	if err != nil || report.Intact || len(report.Findings) != 2 || report.Findings[0].What != "is odd" || report.Findings[1].Where != "page 8" || !strings.Contains(report.Findings[1].What, "not finished") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestWorkerThatDiesOfTheFileIsAFinding(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, make([]byte, 1<<16))
	for task, want := range map[string]string{
		"read past the end of a file that was cut": "SIGBUS",
		"panic": "panic: too many pages",
	} {
		report, err := Verify(t.Context(), "accounts.db", child(task, file))
		if err != nil || report.Intact || len(report.Findings) != 1 || !strings.Contains(report.Findings[0].What, want) {
			t.Errorf("%s: %+v, %v; want %q", task, report, err, want)
		}
	}
}

func TestWorkerThatEndsOtherwiseGivesNoVerdict(t *testing.T) {
	for task, want := range map[string]string{
		"be killed":           "killed",
		"say what is no JSON": "ended early",
	} {
		report, err := Verify(t.Context(), "accounts.db", child(task))
		if err == nil || report.Intact || len(report.Findings) != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", task, report, err, want)
		}
	}
	if _, err := Verify(t.Context(), "accounts.db", exec.Command(filepath.Join(t.TempDir(), "none"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no worker: %v", err)
	}
}

func TestWorkerThatDiesForWantOfMemoryOrThreadsGivesNoVerdict(t *testing.T) {
	for _, said := range []string{"fatal error: out of memory", "fatal error: newosproc\n\nruntime stack:", "fatal error: failed to reserve page summary memory"} {
		report, err := conclude(Report{}, message{}, "its pages", errors.New("exit status 2"), said)
		if err == nil || len(report.Findings) != 0 {
			t.Errorf("%q: %+v, %v; want no verdict", said, report, err)
		}
	}
}

func TestWorkerEndsWithItsParent(t *testing.T) {
	_, path := seeded(t, 1) // open: the worker waits for it
	worker := child("verify", path)
	out, err := worker.Output() // its standard input is at its end
	if err == nil || strings.Contains(string(out), "error") {
		t.Errorf("the worker went on without its parent: %s, %v", out, err)
	}
}
