// Package tempfile makes temporary files that are locked until they get their final name. A killed process may leave
// such a file: others remove it if it is not locked. CheckRoom says whether the disk has room for one.
package tempfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
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

// RemoveLeft removes the files of dir with names of a pattern of Create that a killed process left: those that nobody
// has locked.
func RemoveLeft(dir, pattern string) {
	left, _ := fs.Glob(os.DirFS(dir), pattern) // the pattern is valid, and other errors show when a file is made
	for _, name := range left {
		path := filepath.Join(dir, name)
		if f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); err == nil {
			if TryLock(f) == nil {
				os.Remove(path)
			}
			f.Close()
		}
	}
}

// Rename gives f the name path, in its folder, and makes content and name survive a loss of power.
func Rename(f *os.File, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncFolder(folder)
}

// SyncFolder makes a name that an open folder got survive a loss of power, as far as its file system can be asked to:
// some, as of FUSE or VirtualBox, refuse that. The error says that the name is there.
func SyncFolder(folder *os.File) error {
	err := folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the new file is in its place, but a loss of power can undo that: %w", err)
	}
	return nil
}

// CheckRoom fails if the disk of f has no room for a copy of so many bytes: to find that out by writing would take from
// others what is left. Root has what the file system reserves, too; in a user namespace it has not, and the write fails.
func CheckRoom(f *os.File, size int64) error {
	var disk syscall.Statfs_t
	raw, err := f.SyscallConn() // f can be closed meanwhile, by a caller that gave up
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Fstatfs(int(fd), &disk) }); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	free := Bytes(&disk, disk.Bavail)
	if os.Geteuid() == 0 {
		free = Bytes(&disk, disk.Bfree)
	}
	if free < size && disk.Blocks > 0 { // 0: a tmpfs without a limit
		return fmt.Errorf("its copy takes %d MiB, and %d MiB are free in %s: %w", (size+1<<20-1)>>20, free>>20,
			filepath.Dir(f.Name()), syscall.ENOSPC)
	}
	return nil
}

// Bytes returns how many bytes so many of the blocks are that disk counts, or the most that there can be: object storage
// has 16 EiB.
func Bytes(disk *syscall.Statfs_t, blocks uint64) int64 {
	size := blockSize(disk)
	return size * int64(min(blocks, uint64(math.MaxInt64/max(size, 1))))
}

// TryLock locks a file (flock) unless it is locked. The error is syscall.EWOULDBLOCK if it is.
func TryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
