package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// Modes of fallocate(2), of linux/falloc.h.
const (
	keepSize  = 0x01
	punchHole = 0x02
)

// allocate gives n bytes of f from this offset on disk space of their own, and
// leaves its content and size as they are.
func allocate(f *os.File, from, n int64) error { return fallocate(f, keepSize, from, n) }

// giveBack takes the disk space of all that f has from this offset on, and leaves
// its size as it is.
func giveBack(f *os.File, from int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if n := info.Size() - from; n > 0 {
		err = fallocate(f, keepSize|punchHole, from, n)
	}
	return errors.Join(err, f.Truncate(info.Size())) // what lies beyond its end
}

func fallocate(f *os.File, mode uint32, from, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), mode, from, n)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
