package boltfile

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directBlock is the alignment in bytes of reads past the page cache.
const directBlock = 4096

// Direct reads a file from its disk, not from the page cache, so that a disk that fails or hangs is noticed though all
// pages are cached. Where the file system has no such reads (O_DIRECT), or refuses one, it reads through the cache from
// then on.
type Direct struct {
	// OnRefusal, if not nil, is called once with the error of the read that was refused.
	OnRefusal func(error)

	file    *os.File // nil where the file system has no such reads
	cached  *os.File
	refused atomic.Bool
}

// OpenDirect opens f's own file again, whatever stands at its path by now. f must stay open.
func OpenDirect(f *os.File) *Direct {
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	fd, err := -1, error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) { // a signal of Go's scheduler can end it, as with FUSE
		fd, err = syscall.Open(self, syscall.O_RDONLY|syscall.O_DIRECT|syscall.O_CLOEXEC, 0)
	}
	if err != nil {
		return &Direct{cached: f}
	}
	return &Direct{file: os.NewFile(uintptr(fd), f.Name()), cached: f} // whose errors have the file's name
}

// ReadAt implements io.ReaderAt. It reads from the disk what begins at a multiple of 4 KiB and has 4 KiB at most, as
// meta pages do; the rest it reads through the cache.
func (d *Direct) ReadAt(p []byte, off int64) (int, error) {
	if d.file == nil || d.refused.Load() || off%directBlock != 0 || len(p) > directBlock {
		return d.cached.ReadAt(p, off)
	}
	room := make([]byte, 2*directBlock)
	skip := (directBlock - int(uintptr(unsafe.Pointer(&room[0]))%directBlock)) % directBlock
	block := room[skip : skip+directBlock]
	n, err := d.file.ReadAt(block, off)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) {
		if d.refused.CompareAndSwap(false, true) && d.OnRefusal != nil {
			d.OnRefusal(err)
		}
		return d.cached.ReadAt(p, off)
	}
	if n >= len(p) {
		return copy(p, block), nil
	}
	return copy(p, block[:n]), err
}

// Close closes what OpenDirect opened.
func (d *Direct) Close() {
	if d.file != nil {
		d.file.Close()
	}
}

// DropCache makes the system read f anew from its disk. No process may have mapped it.
func DropCache(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// Sync writes to the disk what was written into f. A signal does not end it.
func Sync(f *os.File) error {
	for {
		if err := withDescriptor(f, syscall.Fdatasync); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
