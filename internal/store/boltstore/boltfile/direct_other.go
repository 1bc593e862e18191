//go:build !linux

package boltfile

import (
	"errors"
	"os"
)

// Direct is a plain read where the system has no reads past its cache.
type Direct struct{ *os.File }

// OpenDirect returns f's own reads.
func OpenDirect(f *os.File) Direct { return Direct{f} }

// Close does nothing: the file is not Direct's.
func (d Direct) Close() {}

// DropCache is not supported.
func DropCache(*os.File) error { return errors.ErrUnsupported }
