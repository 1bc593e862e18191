package boltstore

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// directBlock is the alignment of reads that pass by the page cache.
const directBlock = 4096

// direct reads a file from its disk, not from memory, so that a disk that
// fails or hangs is noticed though all its pages are cached.
type direct struct {
	file   *os.File // nil where the file system has no such reads
	cached *os.File
}

// openDirect opens f's own file again, whatever stands at its path by now.
func openDirect(f *os.File) direct {
	d, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return direct{cached: f}
	}
	return direct{file: d, cached: f}
}

// ReadAt implements io.ReaderAt for what lies within one block.
func (d direct) ReadAt(p []byte, off int64) (int, error) {
	if d.file == nil || off%directBlock != 0 || len(p) > directBlock {
		return d.cached.ReadAt(p, off)
	}
	room := make([]byte, 2*directBlock)
	skip := (directBlock - int(uintptr(unsafe.Pointer(&room[0]))%directBlock)) % directBlock
	block := room[skip : skip+directBlock]
	n, err := d.file.ReadAt(block, off)
	if n >= len(p) {
		return copy(p, block), nil
	}
	return copy(p, block[:n]), err
}

// dropCache makes the system read f anew from its disk. Nobody may have mapped it.
func dropCache(f *os.File) error {
	const dontNeed = 4 // POSIX_FADV_DONTNEED of linux/fadvise.h
	_, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (d direct) close() {
	if d.file != nil {
		d.file.Close()
	}
}
