package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"testing"
)

func TestInterruptedCallsAreTriedAgain(t *testing.T) {
	n := 0
	if err := uninterrupted(func() error {
		if n++; n < 4 {
			return fmt.Errorf("flush: %w", syscall.EINTR)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, want := range []error{syscall.EIO, syscall.EINTR} {
		if err := uninterrupted(func() error { return want }); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// A memory fault in a caller's code is none of the database.
func TestCallersGoroutineIsLeftAsItWas(t *testing.T) {
	opened(t, 1, Options{})
	if debug.SetPanicOnFault(false) {
		t.Error("after Open a fault of its caller is a panic")
	}
	if err := guard(func() error { panic("ordered") }); !isFault(err) || debug.SetPanicOnFault(false) {
		t.Errorf("after a fault (%v) one of the caller is a panic", err)
	}
}

func TestNoSpaceIsKnownByItsTextToo(t *testing.T) {
	for text, want := range map[string]bool{
		"write /data/accounts.db: no space left on device":                   true,
		"file resize error: truncate /data/accounts.db: disk quota exceeded": true,
		"write /data/accounts.db: input/output error":                        false,
	} {
		if got := noSpace(errors.New(text)); got != want {
			t.Errorf("noSpace(%q) = %v", text, got)
		}
	}
}
