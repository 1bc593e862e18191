package checks

import (
	"context"
	"time"
)

const (
	// minTurn and maxTurn bound the turns in which a timeout is counted.
	minTurn = 20 * time.Millisecond
	maxTurn = time.Second
	// maxPatience is how many times its timeout a run may take at most.
	maxPatience = 10
)

// patience is the context of one run. It ends at the timeout, but time in which this process gets no CPU does not
// count, so that a busy machine does not look like a disk that hangs. The time is counted in turns, and a turn that
// took twice its length is not counted. There is no Deadline: package net would hold sockets to it by the wall clock.
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
	began := time.Now()
	for left := p.timeout; left > 0 && time.Since(began) < p.most; {
		turn := min(max(p.timeout/20, minTurn), maxTurn, max(left, time.Millisecond))
		asked := time.Now()
		select {
		case err := <-answer:
			return err, true
		case <-p.Context.Done():
			p.end(p.Context.Err())
			return nil, false
		case <-time.After(turn):
		}
		if time.Since(asked) < 2*turn {
			left -= turn
		}
	}
	p.end(context.DeadlineExceeded)
	return nil, false
}
