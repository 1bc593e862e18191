package connections

import (
	"math"
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

// refuse makes the kernel refuse new connections, by binding the listener to a network interface that does not exist. Those
// that a client is opening just now, and those that wait to be accepted, stay.
func refuse(l net.Listener) (refused bool) {
	control(l, func(fd int) {
		refused = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, math.MaxInt32) == nil
	})
	return refused
}

// queuing is true if connections wait to be accepted.
func queuing(l net.Listener) (is bool) {
	control(l, func(fd int) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		is = n > 0 && err == nil
	})
	return is
}

// control calls f with the socket of a connection or a listener, if there is one.
func control(of any, f func(fd int)) {
	raw, can := of.(syscall.Conn)
	if !can {
		return
	}
	if socket, err := raw.SyscallConn(); err == nil {
		socket.Control(func(fd uintptr) { f(int(fd)) })
	}
}
