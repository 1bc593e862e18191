package boltstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
)

const (
	// hangAfter is how long a Check may be without an answer from the disk until requests are refused before they
	// touch the file.
	hangAfter = 2 * time.Second
	// hangTurns of hangTurn are how long it is watched then before that is believed.
	hangTurn, hangTurns = 20 * time.Millisecond, 15
)

// watch is what the checks of a store know: since when the disk does not answer, and how far all records were read.
type watch struct {
	checkStarted atomic.Pointer[time.Time] // of the Check under way, or nil
	hungSince    atomic.Pointer[time.Time] // the start of a Check that the disk does not answer
	olderMeta    atomic.Bool               // the last Check found the older meta page damaged
	walked       walked                    // how far CheckRecords read
}

// begin notes that a Check is under way, until end is called.
func (w *watch) begin() (end func()) {
	begun := time.Now()
	w.checkStarted.Store(&begun)
	late := time.AfterFunc(hangAfter, func() {
		if stillStuck(context.Background(), &w.checkStarted, &begun) {
			w.hungSince.Store(&begun)
		}
	})
	return func() {
		late.Stop()
		w.checkStarted.Store(nil)
	}
}

// hung is ErrUnavailable while the disk does not answer the Check under way.
func (w *watch) hung() error {
	if begun := w.hungSince.Load(); begun != nil && begun == w.checkStarted.Load() {
		return fmt.Errorf("%w: its disk has not answered for %s",
			store.ErrUnavailable, time.Since(*begun).Round(100*time.Millisecond))
	}
	return nil
}

// stillStuck reports whether *now still equals begun after hangTurns ticks of hangTurn. Ticks that came late because
// the process had no CPU do not count: a process that is starved of it is as slow as one whose disk hangs.
func stillStuck(ctx context.Context, now *atomic.Pointer[time.Time], begun *time.Time) bool {
	turn := time.NewTicker(hangTurn)
	defer turn.Stop()
	for seen := 0; seen < hangTurns; {
		asked := time.Now()
		select {
		case <-turn.C:
		case <-ctx.Done():
			return false
		}
		if now.Load() != begun {
			return false
		}
		if time.Since(asked) < 2*hangTurn {
			seen++
		}
	}
	return true
}
