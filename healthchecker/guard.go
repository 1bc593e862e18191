package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// grace is the time beyond the limit for a step that obeys no deadline: reading a
// file on a disk that hangs, or writing to a stdout that nobody reads.
const grace = 100 * time.Millisecond

// late is the error for what did not happen before the deadline.
type late struct{ what string }

func (l late) Error() string { return l.what + " in time" }

// early is the time in which most probes end. A thread that waits for signals would take a tenth of their time.
const early = 20 * time.Millisecond

// guard makes the process end with exit code 1 when a signal comes, and when the probe comes to no verdict though its
// limit is over. A signal in the first 20 ms is ignored. The probe calls disarm before it writes its own verdict.
//
// Some faults end a Go process with exit code 2 all the same: a fatal error of the runtime (out of memory, no new
// thread, stack overflow, malformed GOMEMLIMIT), and a panic in an init or in a goroutine that is not ours. ask starts
// no such goroutine that outlives a connect.
func guard(limit time.Duration, stdout io.Writer) (disarm func()) {
	signal.Ignore(append(fatalSignals(), syscall.SIGPIPE)...) // a closed stdout must not turn exit 1 into a signal
	var decided atomic.Bool
	disarm = func() {
		if decided.Swap(true) {
			select {} // the other writes its line and ends the process
		}
	}
	time.AfterFunc(early, func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, fatalSignals()...)
		why := fmt.Sprintf("the probe came to no verdict within %v", limit)
		select {
		case got := <-signals:
			why = fmt.Sprintf("the probe was stopped by a signal: %v", got)
		case <-time.After(limit + grace - early):
		}
		disarm()
		end(stdout, secrets(nil).line(why))
	})
	return disarm
}

// fatalSignals lists the signals that end a Go process by default, with exit code
// 2 or by the signal, and never with exit code 1.
func fatalSignals() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
		syscall.SIGILL, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, // sent by kill; a fault of our own is a panic
	}
}

func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the probe itself failed: %v", p)
		}
	}()
	return f()
}

// end writes text and ends the process with exit code 1, also if it can't be written. It waits no longer than grace for
// a reader. The caller's thread writes: another one may get no CPU in that time.
func end(stdout io.Writer, text string) {
	time.AfterFunc(grace, func() { os.Exit(1) })
	io.WriteString(stdout, text)
	os.Exit(1)
}
