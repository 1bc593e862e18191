package main

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// What a stream of handlers writes at once, how fast it must move on the whole,
// and how long it may stand still.
const (
	streamChunk   = 16 << 10
	streamRate    = 8 << 10
	streamTimeout = 10 * time.Second
)

// pair is a connection of the service and the client at its other end.
func pair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = (smallBuffers{l}).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

// What a client takes shows soon, as pace has to see that it moves: at 32 kB/s
// within the time that it may stand still. Slower ones need segments smaller
// than the 64 kB of the loopback.
func TestSlowClientIsSeenToMove(t *testing.T) {
	server, client := pair(t)
	client.(*net.TCPConn).SetReadBuffer(64 << 10)
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	take := func(n int64) {
		t.Helper()
		if _, err := io.CopyN(io.Discard, client, n); err != nil {
			t.Fatal(err)
		}
	}
	const fast = 64 << 20 // first: the kernel gives such a client all the room it may
	sent := make(chan error, 1)
	go func() {
		for n := 0; n < fast; n += streamChunk {
			if _, err := server.Write(make([]byte, streamChunk)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	take(fast)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	// write is a Write, which tries again when the kernel says that there is room
	write := func() (waits <-chan struct{}, moved <-chan int64) {
		full, done := make(chan struct{}, 1), make(chan int64, 1)
		go raw.Write(func(fd uintptr) bool {
			n, err := syscall.Write(int(fd), make([]byte, streamChunk))
			if errors.Is(err, syscall.EAGAIN) {
				select {
				case full <- struct{}{}:
				default:
				}
				return false
			}
			done <- int64(n)
			return true
		})
		return full, done
	}
	var full int64 // bytes on their way
	var moved <-chan int64
	for quiet := false; !quiet; {
		var waits <-chan struct{}
		waits, moved = write()
		select {
		case n := <-moved:
			full += n
			continue
		case <-waits:
		}
		select {
		case n := <-moved:
			full += n
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	slow := min(full, 4*streamRate*int64(streamTimeout/time.Second))
	take(slow)
	select {
	case <-moved:
	case <-time.After(streamTimeout):
		t.Fatalf("%d bytes are on their way, and no more are written after the client took %d", full, slow)
	}
}
