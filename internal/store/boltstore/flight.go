package boltstore

import (
	"context"
	"time"

	"accountservice/internal/warning"
)

// flight runs a check on a goroutine of its own, one run at a time, so that whoever asks is answered in time, whatever
// the disk does. A run that the disk answers slowly passes; one that it does not answer fails.
type flight struct {
	progress
	wait  time.Duration // of one ask
	began time.Duration // of the clock, of the run under way
	done  chan error    // of that run, or nil; has room for the one error
	last  error         // of the last run that ended
}

// ask begins a run unless a run is under way, waits for it, and returns its error. If the run goes on, ask returns what
// is known by then: that the disk hangs, or the failure of the last run, or a warning. One ask must end before the
// next begins.
func (f *flight) ask(ctx context.Context, run func() error) error {
	if f.done == nil {
		done := make(chan error, 1)
		f.done, f.began = done, f.clock.Now()
		f.begin()
		go func() {
			err := guard(run)
			f.end()
			done <- err
		}()
	}
	select {
	case f.last = <-f.done:
		f.done = nil
		return f.last
	case <-time.After(f.wait):
	case <-ctx.Done():
	}
	if err := f.hung(); err != nil {
		return err
	}
	took := f.clock.Now() - f.began
	if failed(f.last) || took <= f.wait { // less if this process got no CPU
		return f.last
	}
	return warning.Errorf("slow: the check has been under way for %s, and the disk answers", rounded(took))
}

// failed is false for an error that is a warning.
func failed(err error) bool {
	_, passed := err.(warning.Error)
	return err != nil && !passed
}
