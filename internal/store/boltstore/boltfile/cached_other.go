//go:build !linux

package boltfile

import (
	"errors"
	"os"
)

// ErrNotCached: there is no read of the page cache alone here.
var ErrNotCached = errors.New("not in the page cache")

// Cached reads nothing here.
type Cached struct{}

// OpenCached returns the zero value.
func OpenCached(*os.File) Cached { return Cached{} }

// ReadAt implements io.ReaderAt.
func (Cached) ReadAt([]byte, int64) (int, error) { return 0, ErrNotCached }
