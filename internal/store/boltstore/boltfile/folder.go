package boltfile

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// MayCreateIn returns fs.ErrPermission if this process may create no file in a folder. It can wait for the disk.
func MayCreateIn(folder string) error {
	err := unix.Access(folder, unix.W_OK|unix.X_OK)
	if errors.Is(err, syscall.EACCES) { // access(2) leaves out the capabilities of a user other than root
		err = unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	}
	return err
}
