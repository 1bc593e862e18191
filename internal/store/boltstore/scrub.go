package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// scrubRate is how many bytes a second a copy takes at least. A faster one
	// slows the writers down, a slower one makes the file grow: the pages that
	// writers free while the copy goes on can't be used again until it has ended.
	scrubRate = 64 << 20
	// scrubCopy is how long a copy should take at most: that of a large file goes
	// faster than scrubRate. One that takes three times as long is given up.
	scrubCopy = 10 * time.Second
	// scrubStep is how many bytes are copied between two looks at the clock.
	scrubStep = 1 << 20
	// scrubYield is how long a commit may be under way until a copy gives way to
	// it: it may wait for the readers, to map a file that has grown.
	scrubYield = 500 * time.Millisecond
	// scrubSays is how many damages the log gets.
	scrubSays = 20
)

// ErrNotScrubbed: Scrub came to no verdict.
var ErrNotScrubbed = errors.New("not scrubbed")

var errGaveWay = errors.New("gave way to a write")

// Scrub copies the database as it is now, and has all of the copy read as
// Verify does. The error says the first damage, or is ErrNotScrubbed and says why
// there is no verdict.
//
// The copy is made in the folder of the database. It has no name there, so that
// it is gone with this process however that ends, and it is not begun, or given
// up, where it would leave less than minFree bytes of disk space. worker makes a
// command that runs VerifyWorker with the path it is given.
func (s *Store) Scrub(ctx context.Context, minFree int64, worker func(path string) *exec.Cmd) error {
	if err := s.usable(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotScrubbed, err)
	}
	dir := filepath.Dir(s.path)
	c, err := os.CreateTemp(dir, "."+filepath.Base(s.path)+".scrub-*")
	if err != nil {
		return fmt.Errorf("%w: cannot create a file in its folder: %w", ErrNotScrubbed, err)
	}
	defer c.Close()
	if err := os.Remove(c.Name()); err != nil {
		return fmt.Errorf("%w: %w", ErrNotScrubbed, err)
	}
	for range 3 {
		if err = s.copyTo(ctx, c, minFree); !errors.Is(err, errGaveWay) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w: copying it: %w", ErrNotScrubbed, err)
	}
	cmd := worker("/dev/fd/3") // the first of ExtraFiles
	cmd.ExtraFiles = []*os.File{c}
	report, err := verify(ctx, Report{File: s.path}, cmd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotScrubbed, err)
	}
	n := len(report.Findings) + report.Omitted
	s.log.Info("scrub", "path", s.path, "transaction", report.Transaction, "accounts", report.Accounts, "pages", report.Pages,
		"damages", n, "first", report.Findings[:min(n, scrubSays)])
	switch n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s is damaged: %v; restore a backup", s.path, report.Findings[0])
	}
	return fmt.Errorf("%s is damaged: %v, and %d more; restore a backup", s.path, report.Findings[0], n-1)
}

// copyTo writes the database as one transaction sees it to c.
func (s *Store) copyTo(ctx context.Context, c *os.File, minFree int64) error {
	_, err := c.Seek(0, io.SeekStart)
	if err := errors.Join(err, c.Truncate(0)); err != nil {
		return err
	}
	w := &slowWriter{ctx: ctx, to: c, begun: time.Now(), minFree: minFree, busy: s.committer.commitStarted.Load}
	return s.h.copyTo(ctx, w, func(size int64) error {
		w.rate = max(scrubRate, float64(size)/scrubCopy.Seconds())
		return w.room(size)
	})
}

// slowWriter writes at its rate, and gives up where it would do harm.
type slowWriter struct {
	ctx     context.Context
	to      *os.File
	begun   time.Time
	rate    float64 // bytes a second
	minFree int64
	busy    func() *time.Time // when the commit under way began

	written, looked int64
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.written-w.looked >= scrubStep {
		w.looked = w.written
		if err := errors.Join(w.room(0), w.wait()); err != nil {
			return 0, err
		}
	}
	n, err := w.to.Write(p)
	w.written += int64(n)
	return n, err
}

// room asks whether so many bytes more leave enough of the disk.
func (w *slowWriter) room(n int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(w.to.Fd()), &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free-n < w.minFree {
		return fmt.Errorf("it takes %d MiB, and of the %d MiB that are free, %d must stay: free some space, or set checks.scrub.interval to 0s",
			(n+1<<20-1)>>20, free>>20, w.minFree>>20)
	}
	return nil
}

// wait waits until so much may have been written, and asks whether to go on.
func (w *slowWriter) wait() error {
	due := w.begun.Add(time.Duration(float64(w.written) / w.rate * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-w.ctx.Done():
		return w.ctx.Err()
	case <-timer.C:
	}
	if begun := w.busy(); begun != nil && time.Since(*begun) > scrubYield {
		return fmt.Errorf("%w that has waited for %s", errGaveWay, time.Since(*begun).Round(time.Millisecond))
	}
	if took := time.Since(w.begun); took > 3*scrubCopy {
		return fmt.Errorf("gave up after %s: the disk is too slow for a copy", took.Round(time.Second))
	}
	return nil
}
