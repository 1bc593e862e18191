// Package boltstore keeps accounts in one bbolt file.
// It knows bbolt and the store contract, nothing of HTTP or configuration.
//
// bbolt maps the file into memory, so a file that is cut or fails under it
// does not give an error but a memory fault, and a fault inside bbolt can leave
// its locks held for ever. Therefore no caller's goroutine ever touches the
// map: reads run in goroutines of their own (view), writes in one committer,
// both turn a fault into an error, and the first one latches the store.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// mapSize is the address space reserved for the map. A file that outgrows
	// its map makes the writer wait for every reader, and new readers for it.
	mapSize = 1 << 30
	// maxReaders bounds how many threads a hanging disk can hold: a page fault
	// blocks a thread, and a Go process dies of 10,000 of them.
	maxReaders = 64
)

// Options says which file, and how to open it.
type Options struct {
	Path string
	// OpenTimeout is how long to wait for another process to let go of the file.
	OpenTimeout time.Duration
	// Waiting is called once if another process holds the file, with words for
	// an operator; nil is nobody.
	Waiting func(reason string)
	// MustExist makes a missing file an error; else it is created.
	MustExist bool
	// RescueDir is where the accounts are copied to when the file was deleted or
	// replaced while it was open; empty is beside it. A copy on another file
	// system than Path's is kept, and not put back.
	RescueDir string
	// AcceptOlderMeta opens a file whose newest meta page is damaged, and so
	// without its last change.
	AcceptOlderMeta bool
	// Reserve is how many bytes of disk space to hold for the file beyond what it
	// uses; 0 is none.
	Reserve int64
	// Now is the clock of created_at and updated_at; nil is time.Now.
	Now func() time.Time
	// Log is told what an operator should know of an opening that succeeds; nil
	// is nobody.
	Log *slog.Logger
}

// Store is a store.Store in one bbolt file, locked for this process.
type Store struct {
	path      string
	rescueDir string // where copies of a lost database go
	now       func() time.Time
	log       *slog.Logger

	current atomic.Pointer[handle]
	retired sync.WaitGroup // of closing the handles before it

	failed    atomic.Pointer[failure]
	stuck     chan struct{} // closed when bbolt's locks may be held for ever
	stuckOnce sync.Once

	readers chan struct{}
	writes  chan *write
	busy    atomic.Pointer[time.Time] // when the commit under way began, or nil
	wrote   atomic.Pointer[time.Time] // when the last commit ended, or the opening
	reserve reserve
	closing chan struct{} // closed by Close
	closed  sync.Once
	ended   chan struct{} // closed when Close is done
	endErr  error         // of it
	stopped chan struct{} // closed when the committer has ended

	lost    chan struct{}          // has room for one: Check has found the file gone
	saving  atomic.Pointer[saving] // the rescue under way, or nil
	rescues []time.Time            // the committer's: when the last ones began
	forgets time.Time              // the committer's: from when on old answers are looked for
	halved  atomic.Pointer[error]  // the damaged older meta page, which a full disk keeps from being mended

	asking atomic.Pointer[time.Time] // when the Check under way began, or nil
	hung   atomic.Pointer[time.Time] // the asking that the disk does not answer
	walked store.ID                  // the last record that CheckRecords decoded
}

var _ store.Store = (*Store)(nil)

// Open opens the database, creating it if Options allow. It looks at the file
// before bbolt does and leaves a file that it refuses as it was. An error names
// the file, the cause and the cure.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{
		path: opts.Path,
		now:  opts.Now,

		rescueDir: opts.RescueDir,

		stuck:   make(chan struct{}),
		readers: make(chan struct{}, maxReaders),
		writes:  make(chan *write, maxBatch),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
		lost:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		log:     opts.Log,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.rescueDir == "" {
		s.rescueDir = filepath.Dir(s.path)
	}
	err := s.usableFolder()
	if err == nil {
		err = s.create(opts.MustExist)
	}
	if err == nil {
		err = s.open(ctx, opts)
	}
	if errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w; look for disk errors in the kernel's log", err)
	}
	if err != nil {
		return nil, fmt.Errorf("bolt open %s: %w", opts.Path, err)
	}
	s.tidy()
	s.reserve = reserve{size: opts.Reserve, log: s.log}
	s.reserve.keep(s.handle().file)
	s.noteWrite()
	go s.commitLoop()
	return s, nil
}

// open locks, inspects and maps the file, and finds or makes its buckets.
func (s *Store) open(ctx context.Context, opts Options) error {
	var h handle
	var damage error // that can be mended
	err := h.open(s.path, func() (*os.File, error) {
		f, err := openLocked(ctx, s.path, opts)
		if err != nil {
			return nil, err
		}
		s.forgetUnwritten(f)
		if damage, err = acceptable(f, opts); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}, func() error {
		if err := h.prepare(damage); err != nil {
			return err
		}
		if _, left := boltfile.InspectFile(h.file); damage != nil && left == nil {
			s.log.Warn("the database was damaged and is mended", "path", s.path, "damage", damage)
		}
		return s.identify(&h)
	})
	if err == nil {
		s.current.Store(&h)
	}
	return err
}

// acceptable inspects a file before bbolt does. It refuses what bbolt would
// overwrite, misread or die of, and returns a damage that the next transaction
// mends.
func acceptable(f *os.File, opts Options) (damage, err error) {
	best, err := boltfile.InspectFile(f)
	damaged := errors.Is(err, boltfile.ErrOlderMeta) || errors.Is(err, boltfile.ErrNewestMeta)
	if err == nil || damaged {
		if foreign := unlisted(f, best); foreign != nil {
			return nil, foreign
		}
	}
	if damaged { // its witness may know better which one is
		switch last := lastClosed(opts.Path, f, best); {
		case last == best.TxID:
			err = boltfile.ErrOlderMeta
		case last > best.TxID:
			err = boltfile.ErrNewestMeta
		}
	}
	switch {
	case errors.Is(err, boltfile.ErrOlderMeta), errors.Is(err, boltfile.ErrNewestMeta) && opts.AcceptOlderMeta:
		return err, nil
	case errors.Is(err, boltfile.ErrNewestMeta):
		return nil, fmt.Errorf("%w; restore a backup, or accept that by store.bolt.accept_older_meta", err)
	}
	return nil, err
}

// Close implements store.Store.
func (s *Store) Close(ctx context.Context) error {
	s.closed.Do(func() {
		close(s.closing)
		go func() {
			defer close(s.ended)
			<-s.stopped
			h := s.handle()
			if s.failed.Load() == nil && s.identity(h) == nil {
				s.endErr = s.tellWitness(h, true)
			}
			s.endErr = errors.Join(s.endErr, h.close())
			s.retired.Wait()
		}()
	})
	err, ended := s.awaitClose(ctx.Done())
	if now := s.saving.Load(); now != nil && !ended {
		// the accounts end with this process: their copy is worth waiting for
		late, cancel := context.WithDeadline(context.Background(), now.until)
		defer cancel()
		err, ended = s.awaitClose(late.Done())
	}
	if !ended {
		return fmt.Errorf("bolt close: %w", ctx.Err())
	}
	return err
}

// awaitClose waits for the end of a Close, or until the time is up.
func (s *Store) awaitClose(up <-chan struct{}) (err error, ended bool) {
	select {
	case <-s.ended:
		return s.endErr, true
	case <-s.stuck:
		return nil, true // all that was acknowledged is on disk, and bbolt's own Close may never end
	case <-up:
		return nil, false
	}
}
