package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/tempfile"
)

const (
	// workSpan is how long a copy works at a stretch, at most: others want the CPU.
	workSpan = 2 * time.Millisecond
	// maxRest is how long it rests at a stretch, at most: the store waits for it when it closes.
	maxRest = 100 * time.Millisecond
	// backupStep is how many bytes of records are copied until they are written to the disk.
	backupStep = 1 << 20
	// backupPace is the least time for a step: 64 MiB/s.
	backupPace = time.Second / 64
	// maxBackup is how long the read transaction of a backup may last: so long no page that a write sets free is used
	// again, and the file grows instead.
	maxBackup = 15 * time.Minute
	// yieldAfter is how long a commit may have worked on its pages before it writes the first of them. That takes
	// milliseconds, unless the file outgrows its map: then it waits for all read transactions.
	yieldAfter = 200 * time.Millisecond
	// maxYields is how often a backup begins again for such a commit. The file outgrows its map at each GiB.
	maxYields = 3
	// giveUpAfter is how long the read transaction of a backup waits for a copy that must end: the disk that the copy is
	// written to may never answer.
	giveUpAfter = 2 * time.Second
)

// What an operator can do about damage that makes a backup fail.
const (
	restartCures = "restart the service, which makes its own records anew if nothing else is damaged; if that start fails, " +
		"restore a backup"
	salvageCures = "older backups stay as they are; restore one, or stop the service and write what can be read by " +
		"accountservice export --salvage"
)

// errYield: a write waits for the read transaction of the backup.
var errYield = errors.New("a write waits for the end of the backup")

// errHangs: a copy must end and does not.
var errHangs = errors.New("a disk does not answer")

// ErrBackupRuns: another backup of this store is under way.
var ErrBackupRuns = errors.New("another backup is under way")

// Backup writes a compact copy of the database, as one transaction left it, into the empty file to, and verifies all
// of it. to is on its disk then. After an error, to is not whole.
//
// It reads as requests do, at 64 MiB/s at most and half of the time at most. It ends with an error when its read
// transaction would last longer than 15 minutes, when a commit fails or finds no room, because the next write waits for
// its end then, when the store closes, and, whatever the disk does, with ctx or after 30 minutes. The read transaction
// ends at most 2 s later, also where the disk of to does not answer. It is ErrBackupRuns beside another one, and
// ErrDamaged, with the cure, if a page is damaged or the bucket of the accounts is gone. Damaged records are copied as
// they are; those of the service itself are made anew in the copy.
func (s *Store) Backup(ctx context.Context, to *os.File) (v Verified, err error) {
	defer func() {
		_, page := errors.AsType[*boltfile.Damage](err)
		switch {
		case errors.Is(err, boltfile.ErrOtherRoot):
			err = fmt.Errorf("%w: %w; %s", ErrDamaged, err, restartCures)
		case page, errors.Is(err, ErrDamaged), errors.Is(err, boltfile.ErrNoBucket):
			err = fmt.Errorf("%w: %w; %s", ErrDamaged, err, salvageCures)
		}
		store.Wrap("bolt backup", &err)
	}()
	if err := cmp.Or(s.usable(), s.rescue.unsaved()); err != nil {
		return v, err
	}
	if !s.backup.TryLock() {
		return v, ErrBackupRuns
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*maxBackup,
		fmt.Errorf("it was not done and verified after %s: a disk does not answer, or is too slow", 2*maxBackup))
	defer cancel()
	type result struct {
		verified Verified
		err      error
	}
	done := make(chan result, 2)
	go func() {
		var copying sync.WaitGroup
		v, err := s.copyVerified(ctx, to, &copying)
		if errors.Is(err, errHangs) {
			done <- result{v, err}
			copying.Wait() // one that hangs is enough
		}
		s.backup.Unlock() // before its caller may ask for another
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.verified, r.err
	case <-ctx.Done():
		return v, context.Cause(ctx)
	case <-s.latch.stuck:
		return v, s.usable()
	}
}

func (s *Store) copyVerified(ctx context.Context, to *os.File, copying *sync.WaitGroup) (v Verified, err error) {
	var sum []byte
	for range maxYields {
		if err = to.Truncate(0); err != nil {
			return v, err
		}
		if sum, err = s.copyOnce(ctx, to, copying); !errors.Is(err, errYield) {
			break
		}
	}
	if err != nil {
		return v, err
	}
	return checkCompact(&yielding{Context: ctx, since: time.Now()}, to, sum)
}

// yielding is a context for one goroutine that asks for its end between two pages or records: it lets that rest as
// long as it worked.
type yielding struct {
	context.Context
	since time.Time
}

func (u *yielding) Err() error {
	if worked := time.Since(u.since); worked > workSpan {
		time.Sleep(min(worked, maxRest))
		u.since = time.Now()
	}
	return u.Context.Err()
}

// copyOnce copies all records in one read transaction, and returns their digest. The copy runs in copying, and can last
// longer than copyOnce if that returns an error.
func (s *Store) copyOnce(ctx context.Context, to *os.File, copying *sync.WaitGroup) (sum []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	now := time.Now()
	b := backupPacer{s: s, ctx: yielding{ctx, now}, era: s.h.era.Load(), began: now, step: now, to: to}
	var failed error // of the copy: no fault of it is one of the open database
	err = s.h.read(s.h.file, func(tx *bbolt.Tx) error {
		from, size := s.h.snapshot(tx, s.h.file), tx.Size()
		from.Branches = &boltfile.Branches{}
		sum, failed = b.attend(copying, func() (sum []byte, err error) {
			if err = tempfile.CheckRoom(to, size); err == nil {
				sum, err = fillCompact(ctx, from, s.h.id, to, b.pace)
			}
			return sum, err
		})
		return nil
	})
	if isFault(err) {
		s.latch.set(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return sum, failed
}

// backupPacer makes a copy give way to all else.
type backupPacer struct {
	s     *Store
	ctx   yielding
	to    *os.File
	era   uint64    // when the copy began
	began time.Time // the copy
	step  time.Time // the step
	size  int       // in bytes, of the step
}

// attend returns the result of f, which copies. If the copy must end and does not, it returns an error, which is not
// errYield: f may still write.
func (b *backupPacer) attend(copying *sync.WaitGroup, f func() ([]byte, error)) (sum []byte, err error) {
	type result struct {
		sum []byte
		err error
	}
	done := make(chan result, 1)
	copying.Go(func() {
		var r result
		r.err = guard(func() (err error) { r.sum, err = f(); return err })
		done <- r
	})
	look := time.Tick(giveUpAfter / 20)
	for well := time.Now(); ; {
		select {
		case r := <-done:
			return r.sum, r.err
		case <-look:
		}
		if err = cmp.Or(b.ctx.Context.Err(), b.ended()); err == nil {
			well = time.Now()
		} else if waited := time.Since(well); waited > giveUpAfter {
			return nil, fmt.Errorf("%w: %w: the copy has not ended in %s, though %v", store.ErrUnavailable, errHangs,
				rounded(waited), err)
		}
	}
}

// pace is called with the size of each record that was copied. Its error ends the copy.
func (b *backupPacer) pace(size int) error {
	if b.size += size; b.size < backupStep {
		return b.ctx.Err()
	}
	if err := boltfile.Sync(b.to); err != nil { // little at a time: the flush of a commit waits for it
		return err
	}
	time.Sleep(backupPace - time.Since(b.step))
	if err := b.ctx.Err(); err != nil {
		return err
	}
	b.size, b.step = 0, time.Now()
	return b.ended()
}

// ended is why the read transaction must end, or nil.
func (b *backupPacer) ended() error {
	switch {
	case b.s.h.writes.working() > yieldAfter:
		return errYield
	case b.era != b.s.h.era.Load():
		return errors.New("a write failed or found no room meanwhile, and the next one waits for the end of the backup")
	case time.Since(b.began) > maxBackup:
		return fmt.Errorf("it was not done after %s: the disks are too slow or too busy", maxBackup)
	}
	return b.s.usable()
}

// BackupFile writes a compact copy of a database that no service has open into the empty file to, and verifies both.
// It changes nothing else. The errors are those of OpenReader, and ErrDamaged.
func BackupFile(ctx context.Context, opts Options, to *os.File) (Verified, error) {
	r, err := OpenReader(ctx, opts)
	if err != nil {
		return Verified{}, err
	}
	defer r.Close()
	_, after, err := writeCompact(ctx, r.file, to, false)
	if err != nil {
		err = fmt.Errorf("bolt backup %s: %w", opts.Path, err)
	}
	return after, err
}
