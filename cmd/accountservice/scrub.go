package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"accountservice/config"
	"accountservice/internal/checks"
	"accountservice/internal/store/boltstore"
)

const (
	// scrubMisses in a row without a verdict are a failure. One or two are not: the
	// machine was busy, or its memory or disk space short for a while.
	scrubMisses = 3
	// scrubTimeout bounds one scrub.
	scrubTimeout = 15 * time.Minute
	// scrubDelay keeps the first one from the start, when there is enough to do,
	// and from one that crashes again and again.
	scrubDelay = 10 * time.Minute

	stepBackFlag = "step-back" // of the verify worker
)

// newScrub is the check that has a copy of the database verified in another
// process. Without a verdict it stays as it was.
func newScrub(accounts *boltstore.Store, cfg config.Checks, log *slog.Logger) (checks.Check, error) {
	program, err := os.Executable()
	if err != nil {
		return checks.Check{}, fmt.Errorf("checks.scrub: %w", err)
	}
	worker := func(path string) *exec.Cmd {
		return exec.Command(program, verifyWorker, "--"+stepBackFlag, "--", path)
	}
	verdict := lastVerdict(log)
	every := cfg.Scrub.Interval
	timeout := min(every, scrubTimeout)
	return checks.Check{
		Name:      "scrub",
		OnFailure: checks.Degrade,
		Run: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, timeout*2/3) // time to end the worker, and to say why
			defer cancel()
			return verdict(accounts.Scrub(ctx, int64(cfg.Disk.MinFree), worker))
		},
		Interval:   every,
		Timeout:    timeout,
		FailAfter:  1,
		PassAfter:  1,
		StaleAfter: 2*every + timeout,
		Delay:      min(every, scrubDelay),
	}, nil
}

// lastVerdict returns a function that takes what came of each scrub in turn and
// returns what is known by then: the last verdict, until scrubMisses in a row had
// none.
func lastVerdict(log *slog.Logger) func(error) error {
	var known error
	missed := 0
	return func(err error) error {
		if !errors.Is(err, boltstore.ErrNotScrubbed) {
			known, missed = err, 0
			return err
		}
		log.Warn("no scrub", "err", err)
		if missed++; missed < scrubMisses {
			return known
		}
		return errors.Join(known, err)
	}
}

// stepBack lets everybody else go first: this process gets what CPU and disk
// are left, and is the one to die if memory is short. Where the system does not
// let it, it works all the same.
func stepBack() {
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	threads, _ := os.ReadDir("/proc/self/task") // each has a priority of its own, and gives it to those it starts
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			syscall.Setpriority(syscall.PRIO_PROCESS, id, 19)
		}
	}
}
