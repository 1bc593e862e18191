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
	// maxPatience is how many times its timeout a run may take at most.
	maxPatience = 10
)

// patience is the context of one run. It ends at the timeout, but time in which this process gets no CPU does not
// count. There is no Deadline: package net would hold sockets to it by the wall clock.
type patience struct {
	context.Context // of the prober
	timeout, most   time.Duration

	done chan struct{}
	err  error // why it ended; written before done is closed
}

func newPatience(ctx context.Context, c Check) *patience {
	return &patience{
		Context: ctx,
		timeout: c.Timeout,
		most:    max(c.Timeout, min(maxPatience*c.Timeout, c.StaleAfter-c.Interval)),
		done:    make(chan struct{}),
	}
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} { return p.done }

// Err implements context.Context.
func (p *patience) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// end ends the context, once. Only the goroutine that made it may call end.
func (p *patience) end(err error) {
	if p.err == nil {
		p.err = err
		close(p.done)
	}
}

// await waits for the run's answer. When the time is up or the prober stops, it ends the context and reports false.
func (p *patience) await(answer <-chan error) (err error, answered bool) {
	began, turn := time.Now(), min(max(p.timeout/20, minTurn), maxTurn)
	clock := awake.NewClock(turn)
	for end := clock.Now() + p.timeout; clock.Now() < end && time.Since(began) < p.most; clock.Tick() {
		select {
		case err := <-answer:
			return err, true
		case <-p.Context.Done():
			p.end(p.Context.Err())
			return nil, false
		case <-time.After(min(turn, max(end-clock.Now(), time.Millisecond))):
		}
	}
	p.end(context.DeadlineExceeded)
	return nil, false
}
