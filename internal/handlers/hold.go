package handlers

import (
	"context"
	"time"
)

// hold lets requests for accounts wait until there is a store, so that during a start clients wait and do not fail.
// Each request waits with its body in memory, so their number is bounded. With a nil hold none waits.
type hold struct {
	live   *Live
	atMost time.Duration
	places chan struct{} // one element for each request that waits
}

func newHold(live *Live, atMost time.Duration, size int) *hold {
	if atMost <= 0 {
		return nil
	}
	return &hold{live: live, atMost: atMost, places: make(chan struct{}, size)}
}

// needed reports whether there is no store yet.
func (h *hold) needed() bool { return h != nil && h.live.parts.Load() == nil }

// wait returns when there is a store, when it is known that there will be none, or when h.atMost or ctx has ended; at
// once if all places are taken. The caller goes on in each case: without a store it answers 503.
func (h *hold) wait(ctx context.Context) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return
	}
	select {
	case <-h.live.started.Done():
	case <-time.After(h.atMost):
	case <-ctx.Done():
	}
}
