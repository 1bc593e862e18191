package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is the time beyond the limit for a step that obeys no deadline: reading a
// file on a disk that hangs, or writing to a stdout that nobody reads.
const grace = 100 * time.Millisecond

// late is the error for what did not happen before the deadline.
type late struct{ what string }

func (l late) Error() string { return l.what + " in time" }

// within runs f with a deadline and always returns: an error if f panics, a signal comes, or f ignores its deadline. It
// does not wait for such an f: the process ends next.
//
// Some faults end a Go process with exit code 2 all the same: a fatal error of the runtime (out of memory, no new
// thread, stack overflow, malformed GOMEMLIMIT), and a panic in an init or in a goroutine that is not ours. ask starts
// no such goroutine that outlives a connect.
func within(limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, fatalSignals()...)
	defer signal.Stop(signals)

	done := make(chan error, 1)
	go func() { done <- recovered(func() error { return f(ctx) }) }()

	var err error
	select {
	case err = <-done:
	case got := <-signals:
		err = fmt.Errorf("the probe was stopped by a signal: %v", got)
	case <-time.After(limit + grace):
		err = late{"the probe came to no verdict"}
	}
	if l, ok := errors.AsType[late](err); ok {
		return fmt.Errorf("%s within %v", l.what, limit)
	}
	return err
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

// write writes text, and waits no longer than grace for a reader. An error can't be
// reported anywhere, and the exit code is 1 already.
func write(stdout io.Writer, text string) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = recovered(func() error { _, err := io.WriteString(stdout, text); return err })
	}()
	select {
	case <-written:
	case <-time.After(grace):
	}
}
