package handlers

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/store"
)

func TestHoldEndsWithTheStoreOrWithoutOne(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // 3s: it ends by what happens then
		does  func(*Live, context.CancelFunc)
	}{
		"the store is there":       {3 * time.Second, func(l *Live, _ context.CancelFunc) { l.Serve(Parts{Store: store.Unavailable("")}) }},
		"none will come":           {3 * time.Second, func(l *Live, _ context.CancelFunc) { l.GiveUp() }},
		"the client is gone":       {3 * time.Second, func(_ *Live, gone context.CancelFunc) { gone() }},
		"nothing, within its time": {5 * time.Second, func(*Live, context.CancelFunc) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := NewLive()
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				h := newHold(live, 5*time.Second, 2)
				time.AfterFunc(3*time.Second, func() { c.does(live, gone) })
				begin := time.Now()
				if h.wait(ctx); time.Since(begin) != c.after {
					t.Errorf("it waited %s, want %s", time.Since(begin), c.after)
				}
			})
		})
	}
}

func TestHoldHasOnlySoManyPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := NewLive()
		h := newHold(live, 5*time.Second, 2)
		var waiting atomic.Int64
		for range 5 {
			go func() {
				waiting.Add(1)
				h.wait(t.Context())
				waiting.Add(-1)
			}()
		}
		synctest.Wait()
		if n := waiting.Load(); n != 2 {
			t.Errorf("%d wait, want 2 and the others refused at once", n)
		}
		live.Serve(Parts{Store: store.Unavailable("")})
		synctest.Wait()
		if n := waiting.Load(); n != 0 || h.needed() {
			t.Errorf("%d still wait for a store that is there", n)
		}
		go h.wait(t.Context()) // a place was given back
		synctest.Wait()
		if n := len(h.places); n != 0 {
			t.Errorf("%d places are taken after all went on", n)
		}
	})
}

func TestNoHoldNeedsNone(t *testing.T) {
	if newHold(NewLive(), 0, 2).needed() || newHold(NewLive(), time.Second, 2).needed() == false {
		t.Error("a hold of 0 is needed, or one of a second is not")
	}
}
