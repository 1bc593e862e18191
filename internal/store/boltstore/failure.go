package boltstore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
)

// failure is why a store does nothing any more.
type failure struct {
	err   error
	at    time.Time
	saved atomic.Pointer[saved] // what became of the accounts of a lost file
}

// Failure is why the store refuses everything, and what became of the accounts of
// a file that was lost; nil while it does not. It is known after Close, too, which
// tries for the last time to save them.
func (s *Store) Failure() error {
	if f := s.failed.Load(); f != nil {
		return s.explain(f)
	}
	return nil
}

// latch ends the store: the first reason stays, and everything from now on is
// refused with it.
func (s *Store) latch(err error) {
	s.failed.CompareAndSwap(nil, &failure{err: err, at: time.Now()})
	var broken *fault
	if errors.As(err, &broken) {
		// bbolt may hold its locks for ever, and who waits for them with it
		s.stuckOnce.Do(func() { close(s.stuck) })
	}
}

func (f *failure) asError() error {
	return fmt.Errorf("%w: it stopped at %s: %w", store.ErrUnavailable, f.at.UTC().Format(time.RFC3339), f.err)
}

// latched returns nil, or why the store does nothing any more.
func (s *Store) latched() error {
	if f := s.failed.Load(); f != nil {
		return f.asError()
	}
	select {
	case <-s.closing:
		return fmt.Errorf("%w: it is closed", store.ErrUnavailable)
	default:
		return nil
	}
}

// usable is what every request asks first: latched, or the disk hangs.
func (s *Store) usable() error {
	if begun := s.hung.Load(); begun != nil && begun == s.asking.Load() {
		return fmt.Errorf("%w: its disk has not answered for %s", store.ErrUnavailable, time.Since(*begun).Round(100*time.Millisecond))
	}
	return s.latched()
}

// fault is a panic turned into an error.
type fault struct {
	value any
	stack []byte
}

func (f *fault) Error() string {
	if e, ok := f.value.(runtime.Error); ok {
		if _, memory := e.(interface{ Addr() uintptr }); memory {
			return "memory fault while reading the database file: it was cut, or its disk fails"
		}
	}
	return fmt.Sprintf("panic in the database: %v", f.value)
}

// guard calls f and returns a panic of it, or a memory fault, as *fault. It is
// for goroutines of this package alone: SetPanicOnFault stays on in them.
func guard(f func() error) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if v := recover(); v != nil {
			err = &fault{v, debug.Stack()}
		}
	}()
	return f()
}
