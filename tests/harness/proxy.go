package harness

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// Proxy passes bytes between clients and a server, until it is told to cut them.
type Proxy struct {
	Port int
	cut  atomic.Pointer[[]byte]
}

// NewProxy starts a proxy before a server on loopback. It ends with the test.
func NewProxy(tb testing.TB, to int) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(tb, err)
	tb.Cleanup(func() { l.Close() })
	p := &Proxy{Port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client.(*net.TCPConn), to)
		}
	}()
	return p
}

// CutAnswer has the next request that holds these bytes reach the server, whose answer then reaches nobody: the
// connection ends when the server has answered.
func (p *Proxy) CutAnswer(to string) { b := []byte(to); p.cut.Store(&b) }

func (p *Proxy) serve(client *net.TCPConn, to int) {
	defer client.Close()
	server, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to})
	if err != nil {
		return
	}
	var silent atomic.Bool
	go func() {
		defer server.CloseWrite()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if cut := p.cut.Load(); cut != nil && bytes.Contains(buf[:n], *cut) && p.cut.CompareAndSwap(cut, nil) {
				silent.Store(true)
			}
			if _, failed := server.Write(buf[:n]); err != nil || failed != nil {
				return
			}
		}
	}()
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if silent.Load() || err != nil {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil && err != io.EOF {
			return
		}
	}
}
