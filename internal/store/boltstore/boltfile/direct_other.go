//go:build !linux

package boltfile

import (
	"errors"
	"os"
)

// Direct is a plain read where the system has no reads past its cache.
type Direct struct {
	*os.File
	OnRefusal func(error) // never called
}

// OpenDirect returns f's own reads.
func OpenDirect(f *os.File) *Direct { return &Direct{File: f} }

// Close does nothing: the file is not Direct's.
func (d *Direct) Close() {}

// DropCache is not supported.
func DropCache(*os.File) error { return errors.ErrUnsupported }

// Sync writes to the disk what was written into f.
func Sync(f *os.File) error { return f.Sync() }
