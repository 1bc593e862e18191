package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"accountservice/internal/store"
)

func TestWhatIsNoRequestIsAProblemToo(t *testing.T) {
	server := httptest.NewUnstartedServer(bare(store.Unavailable("none")).Handler())
	server.Config.MaxHeaderBytes = 16 << 10
	server.Listener = Problems(server.Listener)
	server.Start()
	defer server.Close()
	s := service{Server: server}
	for text, status := range map[string]int{
		"nonsense\r\n\r\n":                                                             400,
		"GET / HTTP/1.1\r\n\r\n":                                                       400,
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n":                                          400,
		"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n":                              400,
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n":                                         400,
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n":                       400,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n":  431,
		"GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n":         431,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n":                 501,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n":                        417,
		"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                404,
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx": 400,
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n":                                 400,
	} {
		r := s.raw(t, "GET", text)
		if p := r.isProblem(t, status); !r.Close || p.Instance != "/requests/"+r.Header.Get("X-Request-Id") || p.Detail == "" {
			t.Errorf("%.60q: %v, close %v", text, r.body, r.Close)
		}
	}
}

// A long answer is written in parts, which can begin anywhere in it.
func TestAccountThatLooksLikeAnErrorIsReadAsItIs(t *testing.T) {
	s := serve(t, nil)
	server := httptest.NewUnstartedServer(bare(s.store).Handler())
	server.Listener = Problems(server.Listener)
	server.Start()
	defer server.Close()
	client := http.Client{Timeout: time.Minute}      // an answer that was cut short never ends
	line := string(otherExpect[:len(otherExpect)-2]) // a line end can be in no account
	labels := make(map[string]string)
	for i := range store.MaxLabels {
		labels[fmt.Sprint("k", i)] = strings.Repeat(line, store.MaxLabelLength/len(line))
	}
	for n := range len(line) {
		name := strings.Repeat("n", 1+n)
		if _, err := s.store.Put(t.Context(), "looks", store.Draft{Name: name, Labels: labels}, store.Preconditions{}); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(server.URL + "/accounts/looks")
		if err != nil {
			t.Fatal(err)
		}
		var acc account
		err = json.NewDecoder(resp.Body).Decode(&acc)
		resp.Body.Close()
		if err != nil || acc.Name != name || !maps.Equal(acc.Labels, labels) {
			t.Fatalf("with a name of %d: %v, %.80v", len(name), err, acc)
		}
	}
}

// Only those errors are touched: a handler may say anything.
func TestWhatAHandlerWritesIsLeftAsItIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, text := range []string{"HTTP/1.1 200 OK\r\nDate: x" + plainHeader, "HTTP/1.1 ", "x", "HTTP/1.1 4xx" + plainHeader, plainHeader,
		"HTTP/1.1 417 Expectation Failed", "HTTP/1.1 417 Expectation Failed HTTP/1.1 417 Expectation Failed\n"} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := Problems(l).Accept()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		conn.Close()
		got := make([]byte, 4096)
		n, _ := client.Read(got)
		client.Close()
		if string(got[:n]) != text {
			t.Errorf("%q became %q", text, got[:n])
		}
	}
}

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
	if server, err = Problems(l).Accept(); err != nil {
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
	raw, err := server.(problemConn).SyscallConn()
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
		for n := 0; n < fast; n += chunk {
			if _, err := server.Write(make([]byte, chunk)); err != nil {
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
			n, err := syscall.Write(int(fd), make([]byte, chunk))
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
	slow := min(full, 4*minRate*int64(chunkTimeout/time.Second))
	take(slow)
	select {
	case <-moved:
	case <-time.After(chunkTimeout):
		t.Fatalf("%d bytes are on their way, and no more are written after the client took %d", full, slow)
	}
}
