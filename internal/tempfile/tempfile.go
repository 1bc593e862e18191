// Package tempfile makes temporary files that are locked until they get their final name. A killed process may leave
// such a file: others remove it if it is not locked.
package tempfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Create is os.CreateTemp. The file has mode 0600 and the owner of like. It is locked (flock) until it is closed, if the
// file system has locks: the caller gives it its final name, or removes it, before that.
func Create(dir, pattern string, like os.FileInfo) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		owner := like.Sys().(*syscall.Stat_t)
		f.Chown(int(owner.Uid), int(owner.Gid)) // works for root, who alone can need it
		if !errors.Is(TryLock(f), syscall.EWOULDBLOCK) {
			if _, gone := os.Lstat(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				return f, nil
			}
		}
		f.Close() // before it was locked, another process took it for abandoned, and removes it
	}
}

// TryLock locks a file (flock) unless it is locked. The error is syscall.EWOULDBLOCK if it is.
func TryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
