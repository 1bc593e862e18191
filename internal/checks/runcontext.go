package checks

import (
	"context"
	"time"

	"accountservice/internal/awake"
)

const (
	// minTurn and maxTurn bound the turns in which a timeout is counted.
	minTurn = 20 * time.Millisecond
	maxTurn = time.Second
	// maxStretch is how many times its timeout a run may take at most.
	maxStretch = 10
)

// runContext is the context of one run. It ends at the timeout, but time in which this process gets no CPU does not
// count. There is no Deadline: package net would hold sockets to it by the wall clock.
type runContext struct {
	context.Context // of the prober
	timeout, most   time.Duration

	done chan struct{}
	err  error // why it ended; written before done is closed
}

func newRunContext(ctx context.Context, c Check) *runContext {
	return &runContext{
		Context: ctx,
		timeout: c.Timeout,
		most:    max(c.Timeout, min(maxStretch*c.Timeout, c.StaleAfter-c.Interval)),
		done:    make(chan struct{}),
	}
}

func (c *runContext) Done() <-chan struct{} { return c.done }

func (c *runContext) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// end ends the context, once. Only the goroutine that made it may call end.
func (c *runContext) end(err error) {
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// await waits for the run's answer. When the time is up or the prober stops, it ends the context and reports false.
func (c *runContext) await(answer <-chan error) (err error, answered bool) {
	began, turn := time.Now(), min(max(c.timeout/20, minTurn), maxTurn)
	clock := awake.NewClock(turn)
	for end := clock.Now() + c.timeout; clock.Now() < end && time.Since(began) < c.most; clock.Tick() {
		select {
		case err := <-answer:
			return err, true
		case <-c.Context.Done():
			c.end(c.Context.Err())
			return nil, false
		case <-time.After(min(turn, max(end-clock.Now(), time.Millisecond))):
		}
	}
	c.end(context.DeadlineExceeded)
	return nil, false
}
