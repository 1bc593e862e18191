package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked: another process held the file for longer than Lock was told to wait.
var ErrLocked = errors.New("another process has held it locked")

// lockRetry is how often a file that another process holds is asked again.
const lockRetry = 50 * time.Millisecond

// Irregular is the error of Open for a path that leads to no regular file.
type Irregular struct{ error }

// Open opens a regular file with the flags of os.OpenFile. It does not wait for the writer of a FIFO. With O_NOFOLLOW a
// symbolic link is Irregular too.
func Open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, Irregular{errors.New("is a symbolic link, and none is followed: name the file itself")}
	}
	if errors.Is(err, syscall.EISDIR) {
		return nil, Irregular{errors.New("is no regular file (a folder)")}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = Irregular{fmt.Errorf("is no regular file (%s)", info.Mode())}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// withDescriptor calls use with the descriptor of f, which no Close ends meanwhile: another file would have its number.
func withDescriptor(f *os.File, use func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var used error
	if err := raw.Control(func(fd uintptr) { used = use(int(fd)) }); err != nil {
		return err
	}
	return used
}

// Duplicate returns another descriptor of the same open file, and so of the same lock.
func Duplicate(f *os.File) (to *os.File, err error) {
	err = withDescriptor(f, func(fd int) error {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			to = os.NewFile(uintptr(fd), f.Name())
		}
		return err
	})
	return to, err
}

// Lock takes bbolt's lock of f: syscall.LOCK_EX for a process that writes, syscall.LOCK_SH for one of several that
// read. It waits for another process until patience is over, and then returns ErrLocked, or until ctx ends. waiting, if
// not nil, is called once before it waits. Closing f releases the lock.
func Lock(ctx context.Context, f *os.File, kind int, patience time.Duration, waiting func()) error {
	again := time.Tick(lockRetry)
	for left := patience; ; left -= lockRetry { // time in which this process stands still does not count
		err := syscall.Flock(int(f.Fd()), kind|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fmt.Errorf("its file system has no locks, without which two processes would destroy it: mount it with "+
				"locks (NFS without nolock), or put the file on a local disk: %w", err)
		case errors.Is(err, syscall.EWOULDBLOCK):
			if waiting != nil {
				waiting()
				waiting = nil
			}
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			return err
		}
		if left <= 0 {
			return fmt.Errorf("%w for %s", ErrLocked, patience)
		}
		select {
		case <-again:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the process that holds it: %w", ctx.Err())
		}
	}
}
