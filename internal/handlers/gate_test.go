package handlers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateLetsFewInSomeWaitAndTheRestAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("full")
		g := newGate(2, 3, time.Second, full)
		first, _ := g.enter(t.Context())
		second, _ := g.enter(t.Context())
		begin := time.Now()
		waits := make(chan error)
		for range 3 {
			go func() {
				leave, err := g.enter(t.Context())
				if err == nil {
					time.Sleep(time.Hour)
					leave()
				}
				waits <- err
			}()
		}
		synctest.Wait()
		if _, err := g.enter(t.Context()); err != full || time.Since(begin) != 0 {
			t.Errorf("the 6th: %v after %s, want a refusal at once", err, time.Since(begin))
		}
		first()
		synctest.Wait() // one of the three has its place
		for range 2 {
			if err := <-waits; err != full || time.Since(begin) != time.Second {
				t.Errorf("one that waited: %v after %s, want a refusal after a second", err, time.Since(begin))
			}
		}
		second()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		third, err := g.enter(gone) // there is a place
		if err != nil {
			t.Errorf("with a place: %v", err)
		}
		if _, err := g.enter(gone); err != full {
			t.Errorf("a client that is gone waits: %v", err)
		}
		third()
		if err := <-waits; err != nil || len(g.places)+len(g.queue) != 0 {
			t.Errorf("%v; %d places and %d in the queue are left", err, len(g.places), len(g.queue))
		}
	})
}

func TestNoGateHasNoBound(t *testing.T) {
	var g *gate
	for range 1000 {
		if _, err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
