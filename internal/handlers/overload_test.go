package handlers

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// Ten times as many requests come as can be served, whatever becomes of those before (an open loop). The clock is that of
// a bubble, so that the figures are those of the queue alone.
func TestGateUnderTenTimesTheLoadServesSoonWhatItServes(t *testing.T) {
	for name, c := range map[string]struct {
		places           int
		work, wait, soon time.Duration
	}{
		"requests":     {8, 20 * time.Millisecond, time.Second, time.Second},
		"large bodies": {8, 30 * time.Millisecond, time.Second, costlySoon},
		"lists":        {1, 30 * time.Millisecond, 3 * time.Second, costlySoon},
		"slow lists":   {1, 100 * time.Millisecond, 3 * time.Second, costlySoon},
	} {
		t.Run(name, func(t *testing.T) { underTenTimesTheLoad(t, c.places, c.work, c.wait, c.soon) })
	}
}

// underTenTimesTheLoad has work take half of its time at least, by chance, and three times as long now and then, as on a
// machine that has other work.
func underTenTimesTheLoad(t *testing.T, places int, work, wait, soon time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		const times = 10
		span := 20 * wait
		g := newGate(places, wait, soon, errFull)
		var mu sync.Mutex
		var served, refused []time.Duration // how long each waited, of those that came after the first second
		var all sync.WaitGroup
		for begin := time.Now(); time.Since(begin) < span; time.Sleep(work / time.Duration(places) / times) {
			late := time.Since(begin) > 2*wait && (soon < wait || time.Since(begin) < span-wait) // not as it begins and ends
			all.Go(func() {
				came := time.Now()
				err := g.enter(t.Context())
				waited := time.Since(came)
				if err == nil {
					takes := work/2 + rand.N(work)
					if time.Since(begin)/(2*wait)%2 == 1 {
						takes *= 3
					}
					time.Sleep(takes)
					g.leave()
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case late && err == nil:
					served = append(served, waited)
				case late:
					refused = append(refused, waited)
				}
			})
		}
		all.Wait()
		slices.Sort(served)
		slices.Sort(refused)
		p99 := served[len(served)*99/100]
		t.Logf("%d served, after a wait of %s (median), %s (99 %%); %d refused, after %s", len(served), served[len(served)/2], p99, len(refused), refused[len(refused)/2])
		if p99 > work || len(served) < int(0.6*float64(span-3*wait)/float64(work)*float64(places)) {
			t.Errorf("%d served, 99 %% of them after %s; want the time of the work at most", len(served), p99)
		}
		if slowest := refused[len(refused)*99/100]; slowest > 2*max(soon/times, 2*work/time.Duration(places)/times) {
			t.Errorf("99 %% of the refused waited up to %s", slowest)
		}
		// those that wait as the load ends are served too, if they have waited less than twice the mean time of one
		if slowest := served[len(served)-1]; soon < wait && slowest > soon+2*3*work {
			t.Errorf("one is served after a wait of %s", slowest)
		}
	})
}

// A place that is free after a stall goes to none that has waited for twice as long as it takes to serve one.
func TestInAnOverloadNoneIsServedLate(t *testing.T) {
	for waited, want := range map[time.Duration]error{19 * time.Millisecond: nil, 21 * time.Millisecond: errFull} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(1, time.Second, costlySoon, errFull)
			g.demand = demand{emptied: time.Now(), begun: time.Now(), room: 100, over: true}
			harness.Must(t, g.enter(t.Context()))
			got := make(chan error, 1)
			go func() { got <- g.enter(t.Context()) }()
			time.Sleep(waited)
			g.leave()
			if err := <-got; err != want {
				t.Errorf("after a wait of %s: %v, want %v", waited, err, want)
			}
		})
	}
}
