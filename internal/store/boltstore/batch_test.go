package boltstore

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBatchWaitsForThoseOfTheOneBeforeAndALoneWriteForNobody(t *testing.T) {
	for name, c := range map[string]struct {
		waiting, late int // writes that wait already, and that come after 5 ms
		enough        int
		want          int
		after         time.Duration
	}{
		"alone":             {0, 0, 1, 1, 0},
		"all wait already":  {7, 0, 8, 8, 0},
		"more than before":  {9, 0, 2, 10, 0},
		"they come":         {1, 6, 8, 8, 5 * time.Millisecond},
		"they do not come":  {1, 0, 8, 2, 10 * time.Millisecond},
		"too many for one":  {maxBatch, 0, 2 * maxBatch, maxBatch, 0},
		"the first of many": {0, 0, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				writes := make(chan *write, 2*maxBatch)
				for range c.waiting {
					writes <- &write{}
				}
				var late sync.WaitGroup
				defer late.Wait()
				late.Go(func() {
					time.Sleep(5 * time.Millisecond) // of the bubble
					for range c.late {
						writes <- &write{}
					}
				})
				begin := time.Now()
				got := len(collect(&write{}, writes, c.enough, 10*time.Millisecond))
				if took := time.Since(begin); got != c.want || took != c.after {
					t.Errorf("%d writes after %s, want %d after %s", got, took, c.want, c.after)
				}
			})
		})
	}
}
