//go:build !linux

package boltstore

import (
	"errors"
	"os"
)

// direct is a plain read where the system has no reads past its cache.
type direct struct{ *os.File }

func openDirect(f *os.File) direct { return direct{f} }

func (d direct) close() {}

func dropCache(*os.File) error { return errors.ErrUnsupported }
