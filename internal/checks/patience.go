package checks

import (
	"context"
	"sync"
	"time"
)

const (
	// minTurn and maxTurn bound the parts in which a deadline is counted.
	minTurn = 20 * time.Millisecond
	maxTurn = time.Second
	// maxPatience is how many times its timeout a run may take when this process
	// gets no CPU.
	maxPatience = 10
)

// patience is the context of one run: it ends when the run has had its time. It
// is counted in turns, and one that ends so late that it took twice its time is
// not counted: then this process was not given the CPU, and neither was the run.
// A busy neighbour must not look like a disk that hangs.
type patience struct {
	context.Context // of the prober
	until           time.Time
	timeout, most   time.Duration

	once sync.Once
	done chan struct{}
	err  error // why it ended; written before done is closed
}

func newPatience(ctx context.Context, c Check) *patience {
	return &patience{
		Context: ctx,
		until:   time.Now().Add(c.Timeout),
		timeout: c.Timeout,
		most:    max(c.Timeout, min(maxPatience*c.Timeout, c.StaleAfter-c.Interval)),
		done:    make(chan struct{}),
	}
}

// Deadline implements context.Context. It is when the time is up for a process
// that is not starved.
func (p *patience) Deadline() (time.Time, bool) { return p.until, true }

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

func (p *patience) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// await waits for the run's answer until its time is up or the prober ends, and
// ends the context then.
func (p *patience) await(answer <-chan error) (err error, answered bool) {
	began := time.Now()
	turn := min(max(p.timeout/20, minTurn), maxTurn, p.timeout)
	timer := time.NewTimer(turn)
	defer timer.Stop()
	for left := p.timeout; ; {
		asked := time.Now()
		select {
		case err := <-answer:
			return err, true
		case <-p.Context.Done():
			p.end(p.Context.Err())
			return nil, false
		case <-timer.C:
		}
		if time.Since(asked) < 2*turn {
			left -= turn
		}
		if left <= 0 || time.Since(began) >= p.most {
			p.end(context.DeadlineExceeded)
			return nil, false
		}
		turn = max(min(turn, left), time.Millisecond)
		timer.Reset(turn)
	}
}
