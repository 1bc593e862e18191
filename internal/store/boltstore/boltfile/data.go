package boltfile

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// NextData returns the offset from at on where the file has data: what is before it is a hole, and was never written. It
// is math.MaxInt64 if there are no more data, and at if the file system cannot tell. It moves the offset of f.
func NextData(f *os.File, at int64) int64 {
	switch data, err := f.Seek(at, unix.SEEK_DATA); {
	case errors.Is(err, unix.ENXIO):
		return math.MaxInt64
	case err == nil:
		return data
	}
	return at
}
