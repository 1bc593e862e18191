package handlers

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Eight times as many clients as places that each wait for an answer before they ask again (a closed loop) are no overload as long as all
// can be served within the wait: none is refused, and after a stall of all work they are served again.
func TestGateServesAClosedCrowd(t *testing.T) {
	for name, work := range map[string]time.Duration{"quick": 10 * time.Millisecond, "slow": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { closedCrowd(t, work) })
		})
	}
}

func closedCrowd(t *testing.T, work time.Duration) {
	const clients, places, stall = 250, 32, 1500 * time.Millisecond
	begin := time.Now()
	at := func(since time.Duration) bool { return time.Since(begin) >= since }
	g := newGate(places, time.Second, time.Second, errFull)
	var before, after atomic.Int64 // refusals before the stall, and from 3 s after it on
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for !at(20 * time.Second) {
				err := g.enter(t.Context())
				switch {
				case err == nil:
					end := time.Now().Add(work)
					if at(5*time.Second) && !at(5*time.Second+stall) {
						end = begin.Add(5*time.Second + stall)
					}
					time.Sleep(time.Until(end))
					g.leave()
				case !at(5 * time.Second):
					before.Add(1)
				case at(10 * time.Second):
					after.Add(1)
				}
				if err != nil {
					time.Sleep(10 * time.Millisecond) // of a client that asks again at once
				}
			}
		})
	}
	all.Wait()
	if before.Load() > 0 || after.Load() > 0 {
		t.Errorf("%d are refused before the stall and %d after it", before.Load(), after.Load())
	}
}
