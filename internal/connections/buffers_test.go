package connections

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// What a client takes shows soon, as the sweep has to see that it moves: at 32 kB/s within the time that it may stand
// still. Slower ones need segments smaller than the 64 kB of the loopback.
func TestSlowClientIsSeenToMove(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	harness.Must(t, err)
	defer client.Close()
	harness.Must(t, client.(*net.TCPConn).SetReadBuffer(64<<10))
	accepted, err := pooled{reserved{l, New(Limits{1, 1 << 20, false}, slog.New(slog.DiscardHandler))}}.Accept()
	harness.Must(t, err)
	defer accepted.Close()
	server, text := accepted.(*Conn).Conn, make([]byte, chunk)
	write := func(within time.Duration) (n int, err error) {
		harness.Must(t, server.SetWriteDeadline(time.Now().Add(within)))
		return server.Write(text)
	}
	take := func(n int64) error { _, err := io.CopyN(io.Discard, client, n); return err }

	const fast = 64 << 20 // first: the kernel gives such a client all the room it may
	taken := make(chan error, 1)
	go func() { taken <- take(fast) }()
	for range fast / chunk {
		_, err := write(time.Minute)
		harness.Must(t, err)
	}
	harness.Must(t, <-taken)

	full := int64(0) // bytes on their way
	for err = nil; err == nil; {
		var n int
		n, err = write(300 * time.Millisecond)
		full += int64(n)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	slow := min(full, 4*minRate*patience)
	harness.Must(t, take(slow))
	if n, err := write(patience * time.Second); n == 0 {
		t.Fatalf("%d bytes are on their way, and no more are written after the client took %d: %v", full, slow, err)
	}
}

// A client that sends many requests at once and reads nothing makes the kernel keep the answers to all of them.
func TestAnswersToManyRequestsAtOnceAreCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what it keeps")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	p, answer := roomy(), make([]byte, 1<<10)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) })}
	go p.Serve(server, l)
	defer server.Close()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}}
	client, err := dialer.Dial("tcp", l.Addr().String())
	harness.Must(t, err)
	defer client.Close()
	const requests = 200
	_, err = io.WriteString(client, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	harness.Must(t, err)
	if !harness.Until(10*time.Second, func() bool { return p.held.Load() > p.each+sendBuffer/2 }) {
		t.Errorf("%d bytes are held, want more than half of the kernel's", p.held.Load())
	}
	answers := bufio.NewReader(client)
	for range requests {
		r, err := http.ReadResponse(answers, nil)
		harness.Must(t, err)
		_, err = io.Copy(io.Discard, r.Body)
		harness.Must(t, err)
	}
	_, err = io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	harness.Must(t, err)
	if !harness.Until(10*time.Second, func() bool { return p.held.Load() <= p.each+2*fewUnread }) {
		t.Errorf("%d bytes are held, want few", p.held.Load())
	}
}
