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

// grace is what a step that obeys no deadline gets on top of the limit: a file
// on a disk that hangs, a stdout that nobody reads.
const grace = 100 * time.Millisecond

// late says what had not happened when the time was over.
type late struct{ what string }

func (l late) Error() string { return l.what + " in time" }

// within runs f under the limit and always comes back, with an error for a
// panic, a signal and an f that obeys no deadline. Such an f is left behind:
// the process ends at once.
//
// What ends a Go process with 2 all the same, because no code of ours runs any
// more: a fatal error of the runtime (out of memory, no new thread, stack
// overflow, malformed GOMEMLIMIT), and a panic in an init or in a goroutine
// that is not ours. ask starts no such goroutine that outlives a connect.
func within(limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, deadly()...)
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

// deadly lists the signals whose default is not exit code 1: the runtime
// answers some with exit code 2 and dies of the others.
func deadly() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
		syscall.SIGILL, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, // sent by kill; a fault of our own is a panic
	}
}

// recovered makes a panic of f an error.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the probe itself failed: %v", p)
		}
	}()
	return f()
}

// say writes text, and waits no longer than grace for a reader. A failure has
// no one to be told to, and the exit code is 1 already.
func say(stdout io.Writer, text string) {
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
