package connections

import "syscall"

// pending is true if the client has sent what was not read yet.
func (c *Conn) pending() (is bool) {
	raw, can := c.Conn.(syscall.Conn)
	if !can {
		return false
	}
	socket, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	socket.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		is = err == nil && n > 0
	})
	return is
}
