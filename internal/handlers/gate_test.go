package handlers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errFull = errors.New("full")

func TestGateLetsSomeInAndTheOthersWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Second, errFull)
		for range 2 {
			if err := g.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
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

func TestGateServesTheNewestWhileMoreComeThanItCanServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Second, errFull)
		begin := time.Now()
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, second, third := waitAt(t.Context(), g, 0), waitAt(t.Context(), g, 300*time.Millisecond), waitAt(t.Context(), g, 600*time.Millisecond)
		time.Sleep(950 * time.Millisecond)
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
	})
}

func TestGateGivesNoPlaceToOneThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Second, errFull)
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

func TestNoGateHasNoBound(t *testing.T) {
	var g *gate
	for range 1000 {
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.leave()
	}
}
