package boltfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotCached: the page cache has not all of what was to be read, or the file system can't tell.
var ErrNotCached = errors.New("not in the page cache")

// Cached reads a file from the page cache alone, so that no read waits for its disk. The zero value reads nothing.
type Cached struct{ conn syscall.RawConn }

// OpenCached returns a Cached of f, or the zero value where that could wait nevertheless. f must stay open.
//
// A read may have to note its time in the inode, which waits for a journal that hangs. So f is told not to: only the
// owner of a file may do that.
func OpenCached(f *os.File) Cached {
	err := withDescriptor(f, func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_NOATIME)
		}
		return err
	})
	conn, closed := f.SyscallConn()
	if err != nil || closed != nil {
		return Cached{}
	}
	return Cached{conn}
}

// ReadAt implements io.ReaderAt. Its errors are ErrNotCached, and those of a closed file.
func (c Cached) ReadAt(p []byte, off int64) (n int, err error) {
	if c.conn == nil {
		return 0, ErrNotCached
	}
	var failed error
	err = c.conn.Control(func(fd uintptr) {
		n, failed = unix.Preadv2(int(fd), [][]byte{p}, off, unix.RWF_NOWAIT)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, fmt.Errorf("%w: %w", ErrNotCached, failed)
	case n < len(p):
		return n, ErrNotCached // or the file ends: a read that may wait knows
	}
	return n, nil
}
