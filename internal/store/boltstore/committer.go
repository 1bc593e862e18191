package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// lookEvery is how often it is asked whether the file is still at its path while nobody writes.
const lookEvery = 500 * time.Millisecond

// committer is the one writer of a store: a goroutine that takes writes from a queue and commits them, and saves the
// accounts if the file is lost.
type committer struct {
	h      *handle
	latch  *latch
	rescue *rescue
	room   room
	now    func() time.Time
	progress
	file io.ReaderAt // the open file, read with progress
	touching

	metrics *metrics
	writes  chan *write
	stopped chan struct{} // closed when it has ended

	lastCommit atomic.Pointer[time.Time] // or the opening
	nextPurge  time.Time                 // of old answers
	inDoubt    uint64                    // the last transaction, if its outcome is open; else 0
}

// touching is the open file for what single writes will touch: a read that is not answered is an error of theirs.
type touching struct {
	pages io.ReaderAt
	brief io.ReaderAt // waits less; after a wait in vain: the disk may not answer the next ones of the batch either
}

func newCommitter(h *handle, latch *latch, rescue *rescue, now func() time.Time, reads *pageReads) *committer {
	c := &committer{h: h, latch: latch, rescue: rescue, now: now, progress: progress{latency: reads.latency},
		metrics: newMetrics(h), writes: make(chan *write, maxBatch), stopped: make(chan struct{})}
	file := sharedFile{h.file, reads, context.Background()}
	c.file = watched{file, &c.progress}
	c.touch(file, h.memo)
	h.writes.began, h.writes.answered = c.begin, c.answered // the time before the first write is not the disk's
	c.lastCommit.Store(new(time.Now()))
	return c
}

// touch makes the pages that writes will touch be read from cached where it has them, and else from file.
func (c *committer) touch(file sharedFile, cached boltfile.Cached) {
	c.pages = watched{touchedFile{file, cached, c.hungAfter / 2}, &c.progress}
	c.brief = watched{touchedFile{file, cached, c.slowAfter / 10}, &c.progress}
}

// hung is ErrUnavailable if the disk does not answer the commit under way.
func (c *committer) hung() error {
	if err := c.progress.hung(); err != nil {
		return fmt.Errorf("%w, in a write", err)
	}
	return nil
}

// run takes a write, and with it all that wait by then, into one transaction. A lone write waits for nobody. Clients
// whose writes shared a transaction are answered at once and may write again at once: the next transaction waits for as
// many, and for those that wrote meanwhile, an eighth of the time that the last one took. Otherwise the first of them
// would have a flush for itself, and all others would wait for two.
func (c *committer) run(stop <-chan struct{}) {
	defer close(c.stopped)
	defer c.rescue.state.Store(nil) // nothing is tried any more
	look := time.Tick(lookEvery)
	enough, took := 0, time.Duration(0)
	for c.latch.alive() {
		select {
		case <-stop:
			if c.latch.alive() {
				c.rescue.look(true)
				c.rewriteOlderMeta()
			}
			return
		case <-look:
			if c.latch.alive() {
				c.rescue.look(false)
				c.tryRoom()
			}
		case w := <-c.writes:
			batch := collect(w, c.writes, enough, min(took/8, maxWait))
			begun := time.Now()
			if err := c.commit(batch); errors.Is(err, errReplaced) {
				c.rescue.look(false)
			}
			enough, took = len(batch)+len(c.writes), time.Since(begun)
		}
	}
}

// commit applies a batch in one transaction, sends each write its result, and returns the error of the transaction.
// After one that leaves the outcome open it latches the store, unless it is only that the file is no longer at its
// path.
func (c *committer) commit(batch []*write) error {
	batch = slices.DeleteFunc(batch, func(w *write) bool { return !w.taken.CompareAndSwap(false, true) })
	if len(batch) == 0 {
		return nil
	}
	c.begin()
	defer c.end()
	c.metrics.taken(batch)
	results := make([]error, len(batch))
	err := uninterrupted(func() error {
		return guard(func() error { return c.transact(batch, results) })
	})
	if isFault(err) {
		c.latch.set(err)
		err = fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	for i, w := range batch {
		// a result that is an error holds only if the batch commits: apply may have seen another write of the batch
		if err != nil || errors.Is(results[i], errUnchanged) {
			results[i] = err
		}
		w.done <- results[i]
	}
	return err
}

// transact applies the writes in one transaction and commits it. results gets the error of each write, which concerns no
// other. The error returned is that of the transaction.
func (c *committer) transact(batch []*write, results []error) error {
	if err := errors.Join(c.latch.err(), c.rescue.unsaved()); err != nil {
		return err
	}
	if err := c.h.atPath(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := c.resolve(); err != nil {
		return err
	}
	tx, err := c.h.begin(c.file)
	if err != nil {
		c.latch.set(err)
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	txid := uint64(tx.ID())
	snap := c.h.snapshot(tx, c.pages)
	changed := false
	for i, w := range batch {
		if w.touch != nil {
			began := time.Now()
			if err := w.touch(snap); err != nil {
				results[i] = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
				if errors.Is(err, errUnanswered) && time.Since(began) > c.slowAfter/10 { // else it was known to hang
					snap.File = c.brief
				}
				continue
			}
		}
		results[i] = w.apply(tx)
		c.begin() // what apply took is not the disk's
		changed = changed || results[i] == nil
	}
	if !changed {
		return tx.Rollback()
	}
	c.purge(tx, snap)
	c.h.begun.Store(txid)
	if err := mark(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	began := time.Now()
	if err := c.h.writes.commit(tx, c.h.file); err != nil {
		c.h.fail()
		if err := c.commitFailed(err, txid); err != nil {
			return err
		}
	}
	c.h.committed.Store(txid)
	c.h.remember(c.h.file, txid)
	c.metrics.committed(c.h, time.Since(began))
	c.room.note(nil)
	c.lastCommit.Store(new(time.Now()))
	if err := c.h.atPath(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	return nil
}

// commitFailed is the answer to the writes of a failed commit; nil if it could be completed. A disk without room and a
// signal (EINTR) leave everything as it was, unless the failure came after the meta page was written. After any other
// failure, memory and disk differ.
func (c *committer) commitFailed(err error, txid uint64) error {
	if errors.Is(err, syscall.EINTR) {
		if written, failed := c.h.metaWritten(txid); failed == nil && !written {
			c.h.stale = true
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	if !noSpace(err) {
		c.latch.set(err)
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	}
	c.room.note(err)
	c.h.stale = true
	written, failed := c.h.metaWritten(txid)
	switch {
	case failed != nil:
		c.latch.set(failed)
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	case !written:
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	c.inDoubt = txid
	switch open := c.resolve(); {
	case open != nil:
		return fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, err)
	case c.h.committed.Load() < txid:
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	return nil
}

// resolve opens the file anew after a commit that found no room, and finds out whether that one took place if it is not
// known. Without such a commit it does nothing.
func (c *committer) resolve() error {
	if !c.h.stale {
		return nil
	}
	err := c.h.resolve()
	if err == nil {
		c.h.restore()
	}
	switch {
	case err == nil && c.inDoubt > 0:
		c.rescue.log.Warn("a commit found no room for its last page, and what became of it is known now",
			"path", c.h.path, "committed", c.h.committed.Load() >= c.inDoubt)
		c.inDoubt = 0
		return nil
	case err == nil:
		return nil
	case noSpace(err):
		c.room.note(err)
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	case !errors.Is(err, errReading):
		c.latch.set(err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// tryRoom makes a write when clients make none, some time after one was refused: it takes new pages behind the last
// one, as the next new account may need, and commits a record that never changes.
func (c *committer) tryRoom() {
	if !c.room.tryDue() || errors.Join(c.latch.err(), c.rescue.unsaved()) != nil {
		return
	}
	c.commit([]*write{{done: make(chan error, 1), apply: func(tx *bbolt.Tx) error {
		if _, err := c.h.file.WriteAt(make([]byte, tryBytes), tx.Size()); err != nil {
			c.room.note(err)
			return err
		}
		return putSentinel(tx)
	}}})
}

// rewriteOlderMeta commits once more before the end if the older meta page is damaged. The next process could not
// always tell which of the two was the newest.
func (c *committer) rewriteOlderMeta() {
	if c.latch.err() == nil && errors.Is(c.h.complete(c.h.disk), boltfile.ErrOlderMeta) {
		c.commit([]*write{{apply: putSentinel, done: make(chan error, 1)}})
	}
}
