package connections

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending is true if the client has sent what was not read yet.
func pending(conn net.Conn) (is bool) {
	control(conn, func(fd int) {
		n, _, err := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		is = err == nil && n > 0
	})
	return is
}

// queued returns how many bytes were written that the client's system has not taken.
func queued(conn net.Conn) (bytes int64, known bool) {
	control(conn, func(fd int) {
		n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		bytes, known = int64(n), err == nil
	})
	return bytes, known
}

// control calls f with the socket, if there is one.
func control(conn net.Conn, f func(fd int)) {
	raw, can := conn.(syscall.Conn)
	if !can {
		return
	}
	if socket, err := raw.SyscallConn(); err == nil {
		socket.Control(func(fd uintptr) { f(int(fd)) })
	}
}
