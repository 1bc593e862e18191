package harness

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// Serve lets handle speak on every connection to a new loopback listener, and closes it when handle returns or the test
// ends.
func Serve(tb testing.TB, handle func(net.Conn)) net.Addr {
	tb.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	Must(tb, err)
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tb.Cleanup(func() { c.Close() })
			go func() { defer c.Close(); handle(c) }()
		}
	}()
	return l.Addr()
}

// Pipes is a listener of connections in memory, for synctest. It ends when the channel is closed.
type Pipes chan net.Conn

func (p Pipes) Accept() (net.Conn, error) {
	if conn, open := <-p; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (Pipes) Close() error   { return nil }
func (Pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Silent handles a connection without a word, until the other side ends it.
func Silent(c net.Conn) { io.Copy(io.Discard, c) }

// FullQueue listens at an address, never accepts, and has a full queue: the kernel drops the next SYN, so that a
// connect to TCP hangs, and refuses a connect to a unix socket. It skips the test where no queue fills.
func FullQueue(tb testing.TB, network, address string) (at string) {
	tb.Helper()
	l, err := net.Listen(network, address)
	Must(tb, err)
	tb.Cleanup(func() { l.Close() })
	raw, err := l.(syscall.Conn).SyscallConn()
	Must(tb, err)
	Must(tb, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
	Must(tb, err)
	for range 20 {
		c, err := net.DialTimeout(network, l.Addr().String(), 200*time.Millisecond)
		if err != nil {
			return l.Addr().String()
		}
		tb.Cleanup(func() { c.Close() })
	}
	tb.Skip("this kernel's queue does not fill")
	return ""
}
