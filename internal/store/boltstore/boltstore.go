// Package boltstore keeps accounts in one bbolt file. It knows bbolt and the store contract, nothing of HTTP or
// configuration.
//
// bbolt maps the file. A cut or failing file is then a memory fault, which can leave bbolt's locks held for ever.
// Therefore reads use pread on goroutines of their own (view), only the committer writes, both turn a fault into an
// error, and the first one latches the store. If the file loses its path, rescue saves a copy before the store latches.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"accountservice/internal/store"
)

// maxReaders bounds how many threads a hanging disk can hold: a page fault blocks a thread, and a Go process dies of
// 10,000 of them.
const maxReaders = 64

// Store is a store.Store in one bbolt file, locked for this process.
type Store struct {
	location
	now func() time.Time

	h         *handle
	latch     *latch
	rescue    *rescue
	committer *committer
	watch     watch
	newer     []newerCopy // beside the database when it was opened
	readers   chan struct{}

	closing chan struct{} // closed by Close
	once    sync.Once
	closed  chan struct{} // closed when Close is done
	err     error         // of it
}

var _ store.Store = (*Store)(nil)

// Open opens the database, creating it if Options allow. It looks at the file before bbolt does and leaves a file
// that it refuses as it was. An error names the file, the cause and the cure.
func Open(ctx context.Context, opts Options) (*Store, error) {
	l, err := newLocation(opts)
	s := &Store{
		location: l,
		now:      opts.Now,
		latch:    &latch{stuck: make(chan struct{})},
		readers:  make(chan struct{}, maxReaders),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err == nil {
		err = s.usableFolder()
	}
	if err == nil {
		err = s.create(opts.MustExist)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; check the owner and mode of its folders", err)
		}
	}
	if err == nil {
		s.h, s.newer, err = s.open(ctx, opts)
	}
	if errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w; look for disk errors in the kernel's log", err)
	}
	if err != nil {
		return nil, fmt.Errorf("bolt open %s: %w", opts.Path, err)
	}
	s.tidy(s.h.file)
	s.rescue = &rescue{location: s.location, h: s.h, latch: s.latch}
	s.committer = newCommitter(s.h, s.latch, s.rescue, s.now)
	go s.committer.run(s.closing)
	return s, nil
}

// usable is what every request asks first: nil, or ErrUnavailable because the store failed, is closed, or its disk
// hangs.
func (s *Store) usable() error {
	if err := s.watch.hung(); err != nil {
		return err
	}
	if err := s.latch.err(); err != nil {
		return err
	}
	select {
	case <-s.closing:
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
	s.once.Do(func() {
		close(s.closing)
		go s.finish()
	})
	err, ended := s.awaitClose(ctx.Done())
	if now := s.rescue.state.Load(); now != nil && !ended {
		late, cancel := context.WithDeadline(context.Background(), now.until)
		defer cancel()
		err, ended = s.awaitClose(late.Done())
	}
	if !ended {
		return fmt.Errorf("bolt close: %w", ctx.Err())
	}
	return err
}

// finish closes the file after the committer has ended.
func (s *Store) finish() {
	defer close(s.closed)
	<-s.committer.stopped
	if s.latch.err() == nil && s.h.atPath() == nil {
		s.err = s.writeWitness(s.h)
	}
	s.rescue.owned.Close()
	s.err = errors.Join(s.err, s.h.close())
}

// awaitClose waits for the end of a Close, or until the time is up.
func (s *Store) awaitClose(up <-chan struct{}) (err error, ended bool) {
	select {
	case <-s.closed:
		return s.err, true
	case <-s.latch.stuck:
		return nil, true // all that was acknowledged is on disk, and bbolt's own Close may never end
	case <-up:
		return nil, false
	}
}
