package harness

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ShutListener shuts down the first listening socket of a process, by a copy of its descriptor.
func ShutListener(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for fd := range 64 {
		copied, err := unix.PidfdGetfd(pidfd, fd, 0)
		if errors.Is(err, unix.EBADF) {
			continue // no such descriptor
		}
		if err != nil {
			return err
		}
		defer unix.Close(copied)
		if listens, _ := unix.GetsockoptInt(copied, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listens == 1 {
			return unix.Shutdown(copied, unix.SHUT_RDWR)
		}
	}
	return errors.New("no listening socket found")
}
