package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE of linux/falloc.h.
const keepSize = 0x01

// allocate gives n bytes of f from this offset on disk space of their own, and
// leaves its content and size as they are.
func allocate(f *os.File, from, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), keepSize, from, n)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
