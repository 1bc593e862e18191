package handlers_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// stalled asks for path and reads nothing of the answer.
func (s service) stalled(t *testing.T, path string) {
	t.Helper()
	conn := s.dial(t, "")
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
}

// smallBuffers is a listener with send buffers like those of the service.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(64 << 10)
	}
	return conn, err
}

// Readers that stand still have the answers of their lists already: they keep no place from any other request.
func TestStalledReadersOfListsHoldUpNothing(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1000)
	l := storetest.Faulty{OnList: func(context.Context) error { entered <- struct{}{}; return nil }}
	s := serve(t, func(real store.Store) store.Store { l.Store = real; return l })
	s.large(t, 100)
	server := httptest.NewUnstartedServer(bare(l))
	server.Listener = smallBuffers{server.Listener}
	server.Start()
	t.Cleanup(server.Close)
	s.Server = server
	for range 2 * runtime.GOMAXPROCS(0) { // more than lists have places
		if !harness.Until(time.Minute, func() bool {
			s.stalled(t, "/accounts?limit=1000")
			select {
			case <-entered:
				return true
			case <-time.After(4 * time.Second): // refused: the one before it has too little CPU
				return false
			}
		}) {
			t.Fatal("no list is read")
		}
	}
	for range 10 {
		s.do(t, "GET", "/accounts/10000", "").is(t, 200, &store.Account{})
		s.do(t, "PUT", "/accounts/10000", `{"name":"x"}`).is(t, 200, &store.Account{})
		if !harness.Until(20*time.Second, func() bool { return s.do(t, "GET", "/accounts?limit=1", "").StatusCode == 200 }) {
			t.Fatal("lists are refused") // one that is still made has too little CPU, but not for ever
		}
	}
}
