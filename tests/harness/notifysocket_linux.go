package harness

import (
	"crypto/rand"
	"errors"
	"syscall"
	"testing"
)

// NotifySocket receives what a service tells systemd, as systemd itself would.
type NotifySocket struct {
	Name string // for NOTIFY_SOCKET
	fd   int
}

// NewNotifySocket makes a socket of this name until the test ends; "" makes an abstract one with a name of its own.
func NewNotifySocket(tb testing.TB, name string) *NotifySocket {
	tb.Helper()
	if name == "" {
		name = "@notify-" + rand.Text()
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	Must(tb, err)
	tb.Cleanup(func() { syscall.Close(fd) })
	Must(tb, syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}))
	return &NotifySocket{name, fd}
}

// Received returns the datagrams that came since the last call, and waits for none.
func (n *NotifySocket) Received(tb testing.TB) (all []string) {
	tb.Helper()
	datagram := make([]byte, 4096)
	for {
		size, _, err := syscall.Recvfrom(n.fd, datagram, syscall.MSG_DONTWAIT)
		if errors.Is(err, syscall.EAGAIN) {
			return all
		}
		Must(tb, err)
		all = append(all, string(datagram[:size]))
	}
}
