package pgstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
)

// places bounds how many connections writes use, so that reads have some while commits wait for a standby. There is no
// bound if it is nil.
type places struct {
	taken chan struct{}
	left  atomic.Int32 // taken by commits whose callers wait no longer for the answer
}

// newPlaces leaves a tenth of the connections to reads, and at least one, but one to writes in any case.
func newPlaces(connections int) *places {
	return &places{taken: make(chan struct{}, max(1, connections-max(1, connections/10)))}
}

// take waits for a place for at most limit.
func (p *places) take(ctx context.Context, limit time.Duration) error {
	if p == nil {
		return nil
	}
	select {
	case p.taken <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limit):
		return fmt.Errorf("%w: all %d connections for writes are in use, perhaps by commits that wait for a standby",
			store.ErrUnavailable, cap(p.taken))
	}
}

func (p *places) giveBack() {
	if p != nil {
		<-p.taken
	}
}
