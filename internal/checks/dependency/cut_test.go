package dependency

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/warning"
	"accountservice/tests/harness"
)

// What is plausible and never ends is ended all the same.
func TestAConversationWithoutAnEndIsEnded(t *testing.T) {
	for name, c := range map[string]struct{ url, first, then string }{
		"nats": {"nats://u:hunter2@%s?plaintext_login=allow", "INFO {}\r\n", strings.Repeat("+OK\r\n", 800)},
		"amqp": {"amqp://u:hunter2@%s?plaintext_login=allow", "", strings.Repeat("\x08\x00\x00\x00\x00\x00\x00\xce", 500)},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(conn net.Conn, n int) {
				io.WriteString(conn, c.first)
				endless(c.then)(conn, n)
			})
			failing(t, p, fmt.Sprintf(c.url, p.Addr()), "its answer is longer than 64 KiB")
		})
	}
}

func TestAServerThatRefusesIsAskedLessOften(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "INFO {}\r\n-ERR 'Authorization Violation'\r\n") })
	run, err := New(fmt.Sprintf("nats://u:hunter2@%s?plaintext_login=allow", p.Addr()), ample, 2)
	harness.Must(t, err)
	for range 20 {
		if err := run.Ask(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "authentication: ") {
			t.Errorf("%v", err)
		}
		p.settles(t)
	}
	if _, _, total := p.counted(); total != 3 {
		t.Errorf("%d attempts, want the two that turn the check and one", total)
	}
}

// broken is a way to a server whose first connection can be made to lead
// nowhere, or to be cut by the next byte, or where none is let in.
type broken struct{ nowhere, cut, shut atomic.Bool }

func (b *broken) to(t *testing.T, server string) *peer {
	return newPeer(t, func(c net.Conn, n int) {
		up, err := net.Dial("tcp", server)
		if err != nil || b.shut.Load() {
			c.Close()
			return
		}
		defer up.Close()
		go func() {
			defer c.Close()
			io.Copy(c, up)
		}()
		for packet := make([]byte, 4096); ; {
			size, err := c.Read(packet)
			if err != nil || n == 1 && b.cut.Load() {
				return
			}
			if n > 1 || !b.nowhere.Load() {
				up.Write(packet[:size])
			}
		}
	})
}

func TestAnHTTPConnectionThatIsNoneAnyMoreIsReplaced(t *testing.T) {
	for url, server := range map[string]string{"http://%s": listenHTTP(t), "grpc://%s": newH2Server(t, nil)} {
		for name, c := range map[string]struct {
			now  func(*broken)
			want []string
		}{
			"leads nowhere":     {func(b *broken) { b.nowhere.Store(true) }, []string{"waiting for the answer: no answer in time", ""}},
			"is cut when asked": {func(b *broken) { b.cut.Store(true) }, []string{"", ""}},
		} {
			t.Run(url[:4]+" "+name, func(t *testing.T) {
				t.Parallel()
				var way broken
				p := way.to(t, server)
				run, err := New(fmt.Sprintf(url, p.Addr()), ample, 1000)
				harness.Must(t, err)
				harness.Must(t, within(t, run.Ask, ample))
				c.now(&way)
				for _, want := range c.want {
					says(t, within(t, run.Ask, enough(want)), want)
				}
				if _, _, total := p.counted(); total != 2 {
					t.Errorf("%d connections, want 2", total)
				}
			})
		}
	}
}

// A server over HTTP/2 says that it takes no more requests on a connection, and closes that later, as Go's does after a
// second: when it stops, when the connection was idle for long or has become old. Another one may serve by then.
func TestAnHTTP2ConnectionThatTakesNoMoreRequestsIsReplaced(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerServing(w) }))
	server.Config.Protocols, server.Config.IdleTimeout = new(http.Protocols), 200*time.Millisecond
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	const goAway = "\x00\x00\x08\x07\x00\x00\x00\x00\x00"
	said := make(chan bool, 100)
	p := newPeer(t, func(c net.Conn, _ int) {
		up, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			defer c.Close()
			for packet := make([]byte, 4096); ; {
				n, err := up.Read(packet)
				if c.Write(packet[:n]); err != nil {
					return
				}
				if strings.Contains(string(packet[:n]), goAway) {
					said <- true
				}
			}
		}()
		io.Copy(up, c)
	})
	run := runs(t, "grpc://"+p.Addr().String(), ample)
	for range 3 {
		says(t, run(), "")
		select {
		case <-said:
		case <-time.After(ample):
			t.Fatal("the server keeps an idle connection")
		}
	}
	says(t, run(), "")
	if _, _, total := p.counted(); total != 4 {
		t.Errorf("%d connections, want 4", total)
	}
}

// So PgBouncer ends a connection by client_idle_timeout, and NATS one whose login has expired.
func TestAnErrorThatCameWhileTheConnectionWasIdleSaysNothingOfTheNext(t *testing.T) {
	for url, c := range map[string]struct {
		speaks  func(net.Conn, int)
		goodbye string
	}{
		"postgres://u@%s/db": {speaksPostgres, "E\x00\x00\x00\x1cSFATAL\x00C08P01\x00Mhunter2\x00\x00"},
		"nats://%s":          {speaksNATS, "-ERR 'User Authentication Expired'\r\n"},
	} {
		t.Run(url[:strings.IndexByte(url, ':')], func(t *testing.T) {
			first := make(chan net.Conn, 1)
			p := newPeer(t, func(conn net.Conn, n int) {
				if n == 1 {
					first <- conn
				}
				c.speaks(conn, n)
			})
			run := runs(t, fmt.Sprintf(url, p.Addr()), ample)
			says(t, run(), "")
			idle := <-first
			io.WriteString(idle, c.goodbye)
			idle.(*net.TCPConn).CloseWrite()
			says(t, run(), "")
			if _, _, total := p.counted(); total != 2 {
				t.Errorf("%d connections, want 2", total)
			}
		})
	}
}

// counting is a link whose every run has this result.
type counting struct {
	open   *int
	result error
}

func (c counting) ask(context.Context, *phase) error { return c.result }
func (c counting) goodbye()                          { *c.open-- }

func TestAConnectionThatWasIdleForLongOrIsOldIsReplaced(t *testing.T) {
	warned := warning.Errorf("its certificate ends soon")
	for name, c := range map[string]struct {
		result error
		pauses []time.Duration
		want   int
	}{
		"idle":            {nil, []time.Duration{0, time.Second, maxIdle - time.Second, maxIdle + time.Second, 0}, 2},
		"in use":          {nil, slices.Repeat([]time.Duration{time.Second}, int(maxAge/time.Second)), 1},
		"old":             {nil, slices.Repeat([]time.Duration{time.Second}, int(2*maxAge/time.Second)+10), 3},
		"warns":           {warned, slices.Repeat([]time.Duration{time.Second}, int(maxWarnedAge/time.Second)), 1},
		"warns for long":  {warned, slices.Repeat([]time.Duration{time.Second}, int(2*maxWarnedAge/time.Second)+10), 3},
		"warns, and idle": {warned, []time.Duration{0, maxIdle + time.Second}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open, opened := 0, 0
				k := keeper{open: func(context.Context, *phase) (*session, link, error) {
					open, opened = open+1, opened+1
					conn, _ := net.Pipe()
					return newSession(conn), counting{&open, c.result}, nil
				}}
				for _, pause := range c.pauses {
					time.Sleep(pause)
					if err := k.ask(t.Context(), new(phase)); err != c.result || open != 1 {
						t.Fatalf("%v with %d connections", err, open)
					}
				}
				if opened != c.want {
					t.Errorf("%d connections, want %d", opened, c.want)
				}
			})
		})
	}
}

// listenHTTP serves HTTP/1.
func listenHTTP(t *testing.T) (addr string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") }))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
