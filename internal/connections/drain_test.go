package connections

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// gated accepts no connection until it is opened.
type gated struct {
	*net.TCPListener
	open chan struct{}
}

func (g gated) Accept() (net.Conn, error) {
	<-g.open
	return g.TCPListener.Accept()
}

// draining serves on a real port, and returns how to dial it, and what drains and shuts down as a stop does.
func draining(t *testing.T, open chan struct{}, handler http.HandlerFunc) (dial func() (net.Conn, error),
	stop func(context.Context)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	p, server := roomy(), &http.Server{Handler: handler}
	go p.Run(t.Context())
	go p.Serve(server, gated{l.(*net.TCPListener), open})
	t.Cleanup(func() { server.Close() })
	harness.Until(10*time.Second, func() bool { // there is something to drain
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.served != nil
	})
	dial = func() (net.Conn, error) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(20 * time.Second))
		}
		return conn, err
	}
	return dial, func(ctx context.Context) {
		p.Drain(ctx)
		server.Shutdown(ctx)
	}
}

func gate(open bool) chan struct{} {
	g := make(chan struct{})
	if open {
		close(g)
	}
	return g
}

func ask(conn net.Conn) { fmt.Fprint(conn, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx") }

func wantOK(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %v, %v; want 200", what, resp, err)
	}
}

func wantEnd(t *testing.T, stop func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	stop(ctx)
	if ctx.Err() != nil {
		t.Error("the stop took all its time")
	}
}

func TestConnectionsThatWaitToBeAcceptedAreServedInAStop(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux, where a listener can refuse new connections and keep those it has")
	}
	open := gate(false)
	dial, stop := draining(t, open, readAll)
	const many = 20
	var all []net.Conn
	for range many {
		conn, err := dial()
		harness.Must(t, err)
		ask(conn)
		all = append(all, conn)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t.Context()) }()
	if !harness.Until(5*time.Second, func() bool { // no one connects anew
		conn, err := dial()
		if err == nil {
			ask(conn)
			all = append(all, conn)
		}
		return err != nil
	}) {
		t.Error("new connections are not refused")
	}
	close(open)
	for n, conn := range all {
		wantOK(t, fmt.Sprint("connection ", n, " of ", len(all)), conn)
		conn.Close()
	}
	<-stopped
}

func TestRequestOnItsWayIsAnsweredInAStop(t *testing.T) {
	accepted := make(chan struct{}, 2)
	dial, stop := draining(t, gate(true), func(w http.ResponseWriter, r *http.Request) {
		readAll(w, r)
		accepted <- struct{}{}
	})
	kept, err := dial()
	harness.Must(t, err)
	ask(kept)
	<-accepted
	wantOK(t, "before the stop", kept)
	fresh, err := dial()
	harness.Must(t, err)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t.Context()) }()
	harness.Until(5*time.Second, func() bool { _, err := dial(); return err != nil })
	ask(kept)
	ask(fresh)
	wantOK(t, "on a kept connection", kept)
	wantOK(t, "on a new connection", fresh)
	<-stopped
}

func TestStopEndsBesideClientsThatSendNoRequestToItsEnd(t *testing.T) {
	for what, sent := range map[string][2]string{
		"nothing":                    {},
		"a header that does not end": {"PUT / HTTP/1.1\r\nHost: x\r\n", "X-Drip: 1\r\n"},
	} {
		t.Run(what, func(t *testing.T) {
			dial, stop := draining(t, gate(true), readAll)
			conn, err := dial()
			harness.Must(t, err)
			fmt.Fprint(conn, sent[0])
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for err := error(nil); err == nil; {
					_, err = fmt.Fprint(conn, sent[1])
					time.Sleep(10 * time.Millisecond)
				}
			}()
			wantEnd(t, stop)
			conn.Close()
			<-ended
		})
	}
}

// A request can take a few round trips to arrive, as over TLS.
func TestFirstRequestIsAnsweredInAStopThoughItIsLate(t *testing.T) {
	dial, stop := draining(t, gate(true), readAll)
	fresh, err := dial()
	harness.Must(t, err)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(t.Context()) }()
	time.Sleep(5 * grace)
	ask(fresh)
	wantOK(t, "on a new connection", fresh)
	<-stopped
}

// What net/http takes for itself, the handler never has.
func TestStopEndsBesideRequestsThatNeverReachTheHandler(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	for what, sent := range map[string][2]string{
		"empty lines after a POST": {post, "\r\n\r\n"},
		"OPTIONS * without end":    {"", "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"},
	} {
		t.Run(what, func(t *testing.T) {
			dial, stop := draining(t, gate(true), readAll)
			conn, err := dial()
			harness.Must(t, err)
			if sent[0] != "" {
				fmt.Fprint(conn, sent[0])
				wantOK(t, "before the stop", conn)
			}
			fmt.Fprint(conn, sent[1])
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for err := error(nil); err == nil && strings.HasPrefix(sent[1], "OPTIONS"); {
					time.Sleep(200 * time.Millisecond)
					_, err = fmt.Fprint(conn, "x", sent[1])
				}
			}()
			go io.Copy(io.Discard, conn)
			wantEnd(t, stop)
			conn.Close()
			<-ended
		})
	}
}

func TestStopEndsWithItsTimeWhileARequestIsUnderWay(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	dial, stop := draining(t, gate(true), func(http.ResponseWriter, *http.Request) {
		close(began)
		<-release
	})
	conn, err := dial()
	harness.Must(t, err)
	ask(conn)
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stop(ctx)
	if ctx.Err() == nil {
		t.Error("the stop did not wait for the request")
	}
}
