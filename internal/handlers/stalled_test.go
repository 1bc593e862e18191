package handlers_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
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

// Readers that stand still hold the lists that may be in memory, and many more
// ask for one: what needs no list goes on, and they are let go of in the end.
func TestStalledReadersOfListsHoldUpNothingElse(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1000)
	l := before{list: func() error { entered <- struct{}{}; return nil }}
	s := serve(t, func(real store.Store) store.Store { l.Store = real; return l })
	s.large(t, 100)
	server := httptest.NewUnstartedServer(bare(l))
	server.Listener = smallBuffers{server.Listener}
	server.Config.WriteTimeout = 2 * time.Minute
	server.Start()
	t.Cleanup(server.Close)
	s.Server = server
	for range 8 { // lists in memory
		s.stalled(t, "/accounts?limit=1000")
		<-entered
	}
	const others = 2 * handlers.DefaultMaxConcurrent
	answers := make(chan reply, others)
	for range others {
		go func() { answers <- s.do(t, "GET", "/accounts", "") }()
	}
	one := func(method, body string) {
		r := s.do(t, method, "/accounts/10000", body)
		if r.StatusCode == 503 { // while all the others came at once
			time.Sleep(time.Second) // as Retry-After says
			r = s.do(t, method, "/accounts/10000", body)
		}
		r.is(t, 200, &store.Account{})
	}
	for range 10 {
		one("GET", "")
		one("PUT", `{"name":"x"}`)
	}
	busy := 0
	for range others {
		r := <-answers
		if r.StatusCode == 200 { // a machine so slow that the readers were let go of by then
			continue
		}
		busy++
		if p := r.isProblem(t, 503); p.Type != "/problems/busy" || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s", r.body)
		}
	}
	if busy == 0 {
		t.Error("nobody was told that too many lists are under way")
	}
	if !harness.Until(4*chunkTimeout, func() bool { return s.do(t, "GET", "/accounts?limit=1", "").StatusCode == 200 }) {
		t.Errorf("the readers that stand still are held for longer than %s", 4*chunkTimeout)
	}
}
