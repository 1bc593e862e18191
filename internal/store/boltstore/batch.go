package boltstore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// maxBatch is how many writes share one transaction, and so one fsync.
	maxBatch = 256
	// maxWeight is how many accounts a batch may change until no write is added to it: a few imports at once would be
	// a transaction of many seconds.
	maxWeight = 4096
	// maxWait bounds how long a batch waits for those who wrote in the one before.
	maxWait = 20 * time.Millisecond
)

// write is one caller's change on its way to the committer.
type write struct {
	// touch reads by pread the pages that apply will read through the map; nil for a change of none.
	touch func(boltfile.Snapshot) error
	// apply makes the change, or returns an error and has changed nothing.
	apply  func(*bbolt.Tx) error
	weight int         // how many accounts it may change
	begun  time.Time   // when its caller handed it over, or zero
	done   chan error  // has room for the one answer
	taken  atomic.Bool // by the committer, or by a caller that gave up
}

// errUnchanged is what apply returns when all is well and there is nothing to commit. update returns nil for it if
// the batch commits; otherwise the error of the batch, because apply may have read another write of the same batch.
var errUnchanged = errors.New("nothing to change")

// giveUp is the answer to a caller that waits no longer: why, if the committer has not taken the write and now never
// will; else the committer's answer, or that the outcome is unknown.
func (w *write) giveUp(why error) error {
	if w.taken.CompareAndSwap(false, true) {
		return why
	}
	select {
	case err := <-w.done:
		return err
	default:
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, why)
	}
}

// collect returns the first write and those that wait behind it, as many as may share a transaction. It waits until
// there are enough, but no longer than limit.
func collect(first *write, waiting <-chan *write, enough int, limit time.Duration) []*write {
	batch := []*write{first}
	over := time.After(limit)
	for weight := first.weight; len(batch) < maxBatch && weight < maxWeight; {
		var w *write
		select {
		case w = <-waiting:
		default:
			if len(batch) >= enough {
				return batch
			}
			select {
			case w = <-waiting:
			case <-over:
				return batch
			}
		}
		batch = append(batch, w)
		weight += w.weight
	}
	return batch
}
