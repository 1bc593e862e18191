package handlers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

var errFull = errors.New("full")

func TestGateLetsSomeInAndTheOthersWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Second, time.Second, errFull)
		for range 2 {
			harness.Must(t, g.enter(t.Context()))
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if g.enter(t.Context()) == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		for i := range 3 {
			g.leave()
			if got := <-order; got != i {
				t.Errorf("number %d has the place, want %d", got, i)
			}
		}
		g.leave()
		g.leave()
		if g.free != 2 {
			t.Errorf("%d places are free, want 2", g.free)
		}
	})
}

// waitAt lets one wait at a gate from a moment on and sends what becomes of it.
func waitAt(ctx context.Context, g *gate, after time.Duration) <-chan error {
	result := make(chan error, 1)
	go func() {
		time.Sleep(after) // of a synctest bubble
		result <- g.enter(ctx)
	}()
	return result
}

// waitFor lets one wait at a gate for several places, and returns when it waits or has its answer, which is sent.
func waitFor(ctx context.Context, g *gate, places int) <-chan error {
	result := make(chan error, 1)
	go func() { result <- g.take(ctx, places) }()
	synctest.Wait()
	return result
}

func TestGateServesTheNewestWhileMoreComeThanItCanServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Second, time.Second, errFull)
		begin := time.Now()
		harness.Must(t, g.enter(t.Context()))
		first, second, third := waitAt(t.Context(), g, 0), waitAt(t.Context(), g, 300*time.Millisecond), waitAt(t.Context(), g, 600*time.Millisecond)
		time.Sleep(950 * time.Millisecond)
		if waiting, refused := g.load(); waiting != 3 || refused != 0 {
			t.Errorf("%d wait and %d are refused, want 3 and 0", waiting, refused)
		}
		g.leave()
		if err := <-third; err != nil || time.Since(begin) != 950*time.Millisecond {
			t.Errorf("the newest has %v after %s, want the place at once", err, time.Since(begin))
		}
		if err := <-first; err != errFull || time.Since(begin) != time.Second {
			t.Errorf("the first has %v after %s, want a refusal after a second", err, time.Since(begin))
		}
		g.leave()
		if err := <-second; err != nil {
			t.Errorf("the second has %v, want the place", err)
		}
		if waiting, refused := g.load(); waiting != 0 || refused != 1 {
			t.Errorf("%d wait and %d are refused, want 0 and 1", waiting, refused)
		}
	})
}

func TestGateGivesNoPlaceToOneThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Second, time.Second, errFull)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.enter(gone); err != nil { // there is a place
			t.Errorf("with a place: %v", err)
		}
		if err := g.enter(gone); err != errFull || g.waiting.Len() != 0 {
			t.Errorf("a client that is gone waits: %v", err)
		}
	})
}

func TestGateGivesSeveralPlacesInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(3, time.Second, time.Second, errFull)
		take := func(n int) <-chan error { return waitFor(t.Context(), g, n) }
		first, second, third := take(2), take(10), take(1) // 10 is all
		if len(first) != 1 || len(second) != 0 || len(third) != 0 {
			t.Errorf("%d, %d and %d have their places, want the first alone", len(first), len(second), len(third))
		}
		g.give(2)
		synctest.Wait()
		if len(second) != 1 || len(third) != 0 {
			t.Errorf("then %d and %d have their places, want the second alone", len(second), len(third))
		}
		g.give(10)
		if err := <-third; err != nil || g.free != 2 || g.wanted != 0 {
			t.Errorf("%v, %d places are free and %d wanted, want 2 and 0", err, g.free, g.wanted)
		}
	})
}

func TestGateLetsInWhoeverWaitedBehindOneThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(3, time.Second, time.Second, errFull)
		waitFor(t.Context(), g, 1) // and keeps it
		all := waitFor(t.Context(), g, 3)
		behind := waitAt(t.Context(), g, 300*time.Millisecond)
		begin := time.Now()
		if err := <-all; err != errFull {
			t.Errorf("what needs all places has %v, want a refusal", err)
		}
		if err := <-behind; err != nil || time.Since(begin) != time.Second {
			t.Errorf("what waited behind it has %v after %s, want one of the two free places after 1s", err, time.Since(begin))
		}
	})
}

func TestGateLetsInWhoeverWaitedBehindOneThatHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(3, time.Second, time.Second, errFull)
		wait := func(need int) <-chan error { return waitFor(t.Context(), g, need) }
		one, all, behind := wait(1), wait(3), wait(1)
		g.mu.Lock()
		g.room = 2 // as many may wait
		g.mu.Unlock()
		last := wait(1)
		if len(one) != 1 || len(all) != 1 || <-all != errFull || len(behind) != 1 || <-behind != nil || len(last) != 1 || <-last != nil {
			t.Errorf("%d, %d and %d have an answer, want a refusal of the first and the two free places for the others",
				len(all), len(behind), len(last))
		}
	})
}

func TestGateForgetsAnOverloadThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Second, 100*time.Millisecond, errFull)
		for i := range 300 { // ten times as many as it can serve
			go func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				if g.enter(t.Context()) == nil {
					time.Sleep(100 * time.Millisecond)
					g.leave()
				}
			}()
		}
		time.Sleep(3 * time.Second)
		if err := errors.Join(g.begin(1, 100), g.begin(1, 100)); err == nil {
			t.Error("in an overload all may read their bodies")
		}
		time.Sleep(time.Hour)
		g.reading = reading{}
		for n := range 20 {
			if err := g.begin(1, 100); err != nil {
				t.Fatalf("an hour after an overload %d may read their bodies at once, and the next one has: %v", n, err)
			}
		}
	})
}

func TestNoGateHasNoBound(t *testing.T) {
	var g *gate
	for range 1000 {
		harness.Must(t, g.begin(1, 0))
		g.done(1)
		harness.Must(t, g.enter(t.Context()))
		g.leave()
	}
	if g.overloaded() {
		t.Error("it is overloaded")
	}
}

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
