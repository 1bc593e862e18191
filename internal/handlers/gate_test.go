package handlers

import (
	"context"
	"errors"
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
