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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
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
	// AcceptOlderMeta opens a file whose newest meta page is damaged, and so
	// without its last change.
	AcceptOlderMeta bool
	// Now is the clock of created_at and updated_at; nil is time.Now.
	Now func() time.Time
	// Log is told what an operator should know of an opening that succeeds; nil
	// is nobody.
	Log *slog.Logger
}

// Store is a store.Store in one bbolt file, locked for this process.
type Store struct {
	path string
	now  func() time.Time
	log  *slog.Logger
	db   *bbolt.DB
	file *os.File // bbolt's own, to ask what became of it
	disk direct   // the same file, past the page cache

	pageSize int64
	id       string // which database this is

	failed    atomic.Pointer[failure]
	stuck     chan struct{} // closed when bbolt's locks may be held for ever
	stuckOnce sync.Once

	readers   chan struct{}
	writes    chan *write
	committed atomic.Uint64             // the last transaction
	busy      atomic.Pointer[time.Time] // when the commit under way began, or nil
	closing   chan struct{}             // closed by Close
	closed    sync.Once
	lost      chan struct{} // has room for one: Check has found the file gone
	stopped   chan struct{} // closed when the committer has ended

	asking atomic.Pointer[time.Time] // when the Check under way began, or nil
	walked store.ID                  // the last record that CheckRecords decoded
}

var _ store.Store = (*Store)(nil)

// Open opens the database, creating it if Options allow. It looks at the file
// before bbolt does and leaves a file that it refuses as it was. An error names
// the file, the cause and the cure.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{
		path:    opts.Path,
		now:     opts.Now,
		stuck:   make(chan struct{}),
		readers: make(chan struct{}, maxReaders),
		writes:  make(chan *write, maxBatch),
		closing: make(chan struct{}),
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
	err := s.create(opts.MustExist)
	if err == nil {
		err = s.open(ctx, opts)
	}
	if errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w; look for disk errors in the kernel's log", err)
	}
	if err != nil {
		return nil, fmt.Errorf("bolt open %s: %w", opts.Path, err)
	}
	s.disk = openDirect(s.file)
	go s.commitLoop()
	return s, nil
}

// open locks, inspects and maps the file, and finds or makes its buckets.
func (s *Store) open(ctx context.Context, opts Options) error {
	var damage error // that can be mended
	openFile := func(path string, _ int, _ os.FileMode) (f *os.File, err error) {
		if f, err = openLocked(ctx, path, opts); err != nil {
			return nil, err
		}
		if damage, err = acceptable(f, opts.AcceptOlderMeta); err != nil {
			f.Close()
			return nil, err
		}
		s.file = f
		return f, nil
	}
	err := guard(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
			OpenFile:        openFile,
			InitialMmapSize: mapSize,
			FreelistType:    bbolt.FreelistMapType,
			NoStatistics:    true,
		})
		if err != nil {
			return err
		}
		return s.prepare(damage)
	})
	var fault *fault
	if errors.As(err, &fault) {
		// bbolt's locks may be held: the process ends without closing it
		return fmt.Errorf("the database is damaged (%w); restore a backup", err)
	}
	if err != nil && s.db != nil {
		s.db.Close()
	}
	return err
}

// acceptable inspects a file before bbolt does. It refuses what bbolt would
// overwrite, misread or die of, and returns a damage that the next transaction
// mends.
func acceptable(f *os.File, olderMeta bool) (damage, err error) {
	_, err = inspectFile(f)
	switch {
	case errors.Is(err, errOlderMeta), errors.Is(err, errNewestMeta) && olderMeta:
		return err, nil
	case errors.Is(err, errNewestMeta):
		return nil, fmt.Errorf("%w; restore a backup, or accept that by store.bolt.accept_older_meta", err)
	}
	return nil, err
}

// Close implements store.Store.
func (s *Store) Close(ctx context.Context) error {
	s.closed.Do(func() { close(s.closing) })
	done := make(chan error, 1)
	go func() {
		<-s.stopped
		s.disk.close()
		var err error
		if s.failed.Load() == nil && s.identity() == nil {
			err = s.tellWitness()
		}
		done <- errors.Join(err, s.db.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-s.stuck:
		return nil // all that was acknowledged is on disk, and bbolt's own Close may never end
	case <-ctx.Done():
		return fmt.Errorf("bolt close: %w", ctx.Err())
	}
}
