package boltstore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/internal/store"
)

// latch ends a store: its first reason stays, and every request from then on is refused with it.
type latch struct {
	first atomic.Pointer[error]
	stuck chan struct{} // closed when bbolt's locks may be held for ever
	once  sync.Once
}

func (l *latch) set(err error) {
	why := fmt.Errorf("%w: it stopped at %s: %w", store.ErrUnavailable, time.Now().UTC().Format(time.RFC3339), err)
	l.first.CompareAndSwap(nil, &why)
	if isFault(err) {
		l.once.Do(func() { close(l.stuck) })
	}
}

// err is nil until the latch is set, and then ErrUnavailable with the reason.
func (l *latch) err() error {
	if why := l.first.Load(); why != nil {
		return *why
	}
	return nil
}

// alive is false once bbolt's locks may be held: whoever reads the file through it may hang. A latched store that is
// alive still has its accounts, and its file may be lost, or lost again where it was saved.
func (l *latch) alive() bool {
	select {
	case <-l.stuck:
		return false
	default:
		return true
	}
}

// fault is a panic turned into an error.
type fault struct{ value any }

func (f *fault) Error() string {
	if e, ok := f.value.(runtime.Error); ok {
		if _, memory := e.(interface{ Addr() uintptr }); memory {
			return "memory fault while reading the database file: it was cut, or its disk fails"
		}
	}
	return fmt.Sprintf("panic in the database: %v", f.value)
}

func isFault(err error) bool {
	_, is := errors.AsType[*fault](err)
	return is
}

// guard calls f and returns a panic of it, or a memory fault, as *fault.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // the goroutine can be a caller's
	defer func() {
		if v := recover(); v != nil {
			err = &fault{v}
		}
	}()
	return f()
}

// noSpace reports whether the disk has no room, or the process may take no more of it. bbolt keeps some causes as text
// only.
func noSpace(err error) bool {
	return err != nil && slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, func(full error) bool {
		return errors.Is(err, full) || strings.Contains(err.Error(), full.Error())
	})
}

// uninterrupted calls f again while a signal interrupts what it does: bbolt does not try system calls again.
func uninterrupted(f func() error) (err error) {
	for range 100 {
		if err = f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
	return err
}
