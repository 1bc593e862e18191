// Package boltstore keeps accounts in one bbolt file. It knows bbolt and the store contract, nothing of HTTP or
// configuration.
//
// bbolt maps the file. A cut or failing file is then a memory fault, which can leave bbolt's locks held for ever.
// Therefore reads use pread, on goroutines of their own (view) or from the page cache alone (Peek), and only the
// committer writes. Both turn a fault into an error, and the first one latches the store. If the file loses its path,
// rescue saves a copy before the store latches.
package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"accountservice/internal/awake"
	"accountservice/internal/store"
)

// maxReaders bounds the reads under way. Each that the disk does not answer holds a thread, and Go ends a process that has
// 10,000.
const maxReaders = 1024

// Store is a store.Store in one bbolt file, locked for this process.
type Store struct {
	location
	now func() time.Time

	h         *handle
	latch     *latch
	rescue    *rescue
	committer *committer
	latency   *latency
	check     fileCheck
	walk      recordCheck
	reads     *pageReads
	readers   chan struct{}
	backup    sync.Mutex // one at a time
	end       *end
}

var _ store.Store = (*Store)(nil)

// Open opens the database, creating it if Options allow. It looks at the file before bbolt does and leaves a file
// that it refuses as it was. An error names the file, the cause and the cure.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.SlowAfter, opts.HungAfter = cmp.Or(opts.SlowAfter, 3*time.Second), cmp.Or(opts.HungAfter, 10*time.Second)
	opts.CheckTimeout = cmp.Or(opts.CheckTimeout, time.Second)
	s := &Store{
		now:     opts.Now,
		latch:   &latch{stuck: make(chan struct{})},
		latency: newLatency(opts.SlowAfter, opts.HungAfter),
		check:   fileCheck{canary: opts.WriteCanary},
		readers: make(chan struct{}, maxReaders),
		end:     newEnd(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	err := s.openDatabase(ctx, opts)
	if errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w; look for disk errors in the kernel's log", err)
	}
	if err != nil {
		return nil, fmt.Errorf("bolt open %s: %w", opts.Path, err)
	}
	s.tidy(s.h.file)
	s.removeAbandoned()
	s.rescue = &rescue{location: s.location, h: s.h, latch: s.latch, clock: s.latency.clock}
	s.watch(opts.CheckTimeout / 2)
	go s.committer.run(s.end.begun)
	return s, nil
}

// openDatabase makes the database if there is none, and opens it.
func (s *Store) openDatabase(ctx context.Context, opts Options) (err error) {
	if s.location, err = newLocation(opts); err != nil {
		return err
	}
	if err := s.usableFolder(); err != nil {
		return err
	}
	switch err := uninterrupted(func() error { return s.create(opts.MustExist) }); {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; check the owner and mode of its folders: this process is user %d", err, os.Geteuid())
	case noSpace(err):
		return fmt.Errorf("%w; free some space on its file system for a new database", err)
	case err != nil:
		return err
	}
	return uninterrupted(func() (err error) { s.h, s.walk.newer, err = s.open(ctx, opts); return err })
}

// watch makes what measures how the disk answers. A check waits this long for its run.
func (s *Store) watch(wait time.Duration) {
	s.reads = &pageReads{latency: s.latency, underWay: make(map[place]*pageRead)}
	s.check.flight = flight{progress: progress{latency: s.latency}, wait: wait}
	s.walk.flight = flight{progress: progress{latency: s.latency}, wait: wait}
	s.committer = newCommitter(s.h, s.latch, s.rescue, s.now, s.reads)
	s.walk.total = &s.committer.metrics.accounts
	s.latency.run(s.end.begun)
}

// usable is what every request asks first: nil, or ErrUnavailable because the store failed, is closed, or its disk
// hangs.
func (s *Store) usable() error {
	if err := cmp.Or(s.check.hung(), s.latch.err()); err != nil {
		return err
	}
	select {
	case <-s.end.begun:
		return fmt.Errorf("%w: it is closed", store.ErrUnavailable)
	default:
		return nil
	}
}

// Failure is why the store refuses everything, and what became of the accounts of a file that was lost; nil while it
// does not. Close tries for the last time to save them, so that after it Failure knows more.
func (s *Store) Failure() error { return s.rescue.explain(s.latch.err()) }

// Close implements store.Store. It waits for the copy of a lost database longer than for ctx: its accounts end with
// this process.
func (s *Store) Close(ctx context.Context) error {
	s.end.begin(s.finish)
	err, ended := s.awaitClose(ctx.Done())
	if now := s.rescue.state.Load(); now != nil && !ended {
		left := now.until - s.latency.clock.Now()
		for clock := awake.NewClock(clockTurn); clock.Now() < left && !ended; clock.Tick() { // that of the store has ended
			turn, cancel := context.WithTimeout(context.Background(), clockTurn)
			err, ended = s.awaitClose(turn.Done())
			cancel()
		}
	}
	if ended {
		return err
	}
	select {
	case <-s.committer.stopped: // all writes are on the disk, which is slow; or a backup waits for that of its target
		return nil
	default:
		return fmt.Errorf("bolt close: %w", ctx.Err())
	}
}

// finish closes the file after the committer has ended.
func (s *Store) finish() (err error) {
	<-s.committer.stopped
	s.latency.running.Wait()
	if s.latch.err() == nil && s.h.atPath() == nil {
		err = s.writeWitness(s.h)
	}
	s.rescue.owned.Close()
	return errors.Join(err, s.h.close())
}

// awaitClose waits for the end of a Close, or until the time is up.
func (s *Store) awaitClose(up <-chan struct{}) (err error, ended bool) {
	select {
	case <-s.end.done:
		return s.end.err, true
	case <-s.latch.stuck:
		return nil, true // all that was acknowledged is on disk, and bbolt's own Close may never end
	case <-up:
		return nil, false
	}
}
