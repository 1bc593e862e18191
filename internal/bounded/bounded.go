// Package bounded makes calls that a disk may never answer, and stops waiting for them when a context ends. It can't end
// such a call: callers bound how many they make.
package bounded

import "context"

// Call calls f on a goroutine of its own, and returns its result, or ctx.Err() when ctx ends before. f then goes on, and
// its result is dropped.
func Call[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
