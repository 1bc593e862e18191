//go:build !linux

package boltstore

import (
	"errors"
	"os"
)

func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

func giveBack(*os.File, int64) error { return errors.ErrUnsupported }
