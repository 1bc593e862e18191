// Package awake counts the time in which this process gets CPU, so that a busy machine does not look like a disk or a
// server that hangs. How long is too long, its callers decide.
package awake

import (
	"sync/atomic"
	"time"
)

// Clock counts in turns. Its owner calls Tick about once in each. A turn that took twice its length is not counted: the
// process was starved of CPU, or stood still.
type Clock struct {
	turn    time.Duration
	last    time.Time // of Tick
	counted atomic.Int64
}

// NewClock returns a clock that has counted one turn: its time is never zero.
func NewClock(turn time.Duration) *Clock {
	c := &Clock{turn: turn, last: time.Now()}
	c.counted.Store(int64(turn))
	return c
}

// Tick counts the time since the last Tick. One call must end before the next begins.
func (c *Clock) Tick() {
	now := time.Now()
	if passed := now.Sub(c.last); passed < 2*c.turn {
		c.counted.Add(int64(min(passed, c.turn)))
	}
	c.last = now
}

// Run calls Tick in each turn until stop is closed.
func (c *Clock) Run(stop <-chan struct{}) {
	turn := time.Tick(c.turn)
	for {
		select {
		case <-turn:
			c.Tick()
		case <-stop:
			return
		}
	}
}

// Now is the time counted so far, as of the last Tick.
func (c *Clock) Now() time.Duration { return time.Duration(c.counted.Load()) }
