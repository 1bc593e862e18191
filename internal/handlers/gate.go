package handlers

import (
	"context"
	"time"
)

// gate bounds how many do something at once: size do, waiting more wait up to
// wait for a place, the rest are refused with full.
type gate struct {
	places chan struct{} // one for each that is in
	queue  chan struct{} // one for each that is in or waits
	wait   time.Duration
	full   error
}

func newGate(size, waiting int, wait time.Duration, full error) *gate {
	return &gate{make(chan struct{}, size), make(chan struct{}, size+waiting), wait, full}
}

// enter takes a place, which leave gives back, or returns the error of a full
// gate. The nil gate has no bound.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g.queue <- struct{}{}:
	default:
		return nil, g.full
	}
	leave = func() { <-g.places; <-g.queue }
	select {
	case g.places <- struct{}{}:
		return leave, nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	select {
	case g.places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		<-g.queue
		return nil, g.full
	}
}
