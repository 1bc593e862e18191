package dependency

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is plausible and never ends is ended all the same.
func TestAConversationWithoutAnEndIsEnded(t *testing.T) {
	for name, c := range map[string]struct{ url, first, then string }{
		"nats": {"nats://u:hunter2@%s", "INFO {}\r\n", strings.Repeat("+OK\r\n", 800)},
		"amqp": {"amqp://u:hunter2@%s", "", strings.Repeat("\x08\x00\x00\x00\x00\x00\x00\xce", 500)},
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

func TestAServerThatLetsInAndThenHangsSeesOneConnection(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "+OK\r\n")
	})
	run, err := New(fmt.Sprintf("redis://:hunter2@%s", p.Addr()), 50*time.Millisecond, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		within(t, run, 50*time.Millisecond)
		p.settles()
	}
	if open, most, _ := p.counted(); open != 0 || most != 1 {
		t.Errorf("%d connections open, %d at once", open, most)
	}
}

func TestAServerThatRefusesIsAskedLessOften(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) { io.WriteString(c, "INFO {}\r\n-ERR 'Authorization Violation'\r\n") })
	run, err := New(fmt.Sprintf("nats://u:hunter2@%s", p.Addr()), ample, 2)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "authentication: ") {
			t.Errorf("%v", err)
		}
		p.settles()
	}
	if _, _, total := p.counted(); total != 3 {
		t.Errorf("%d attempts, want the two that turn the check and one", total)
	}
}

func TestPINGOfANATSServerIsAnswered(t *testing.T) {
	p := newPeer(t, func(c net.Conn, _ int) {
		io.WriteString(c, "INFO {}\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			if lines.Text() == "PING" {
				io.WriteString(c, "PING\r\n")
				if lines.Scan(); lines.Text() == "PONG" {
					io.WriteString(c, "PONG\r\n")
				}
			}
		}
	})
	run := runs(t, fmt.Sprintf("nats://u:hunter2@%s", p.Addr()), brief)
	for range 3 {
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
}

// broken is a way to a server whose first connection can be made to lead
// nowhere, or to be cut by the next byte.
type broken struct{ nowhere, cut atomic.Bool }

func (b *broken) to(t *testing.T, server string) *peer {
	return newPeer(t, func(c net.Conn, n int) {
		up, err := net.Dial("tcp", server)
		if err != nil {
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

func TestHTTP2ConnectionThatIsNoneAnyMoreIsReplaced(t *testing.T) {
	server := newH2Server(t, nil)
	for name, c := range map[string]struct {
		now  func(*broken)
		want []string
	}{
		"leads nowhere": {func(b *broken) { b.nowhere.Store(true) }, []string{"waiting for the answer: no answer in time", ""}},
		"is cut":        {func(b *broken) { b.cut.Store(true) }, []string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var way broken
			p := way.to(t, server)
			run := runs(t, fmt.Sprintf("grpc://%s", p.Addr()), brief)
			if err := run(); err != nil {
				t.Fatal(err)
			}
			c.now(&way)
			for i, want := range c.want {
				got := ""
				if err := run(); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("run %d: %q, want %q", i, got, want)
				}
			}
			if _, _, total := p.counted(); total != 2 {
				t.Errorf("%d connections, want 2", total)
			}
		})
	}
}

// counting is a link that is always well.
type counting struct{ closed *int }

func (counting) ask(context.Context, *phase) error { return nil }
func (c counting) close()                          { *c.closed++ }

func TestAConnectionThatWasIdleForLongIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, closed := 0, 0
		ask := keep(func(context.Context, *phase) (link, error) { opened++; return counting{&closed}, nil })
		for _, pause := range []time.Duration{0, time.Second, maxIdle - time.Second, maxIdle + time.Second, 0} {
			time.Sleep(pause)
			if err := ask(t.Context(), &phase{}); err != nil {
				t.Error(err)
			}
		}
		if opened != 2 || closed != 1 {
			t.Errorf("%d opened and %d closed, want one replaced", opened, closed)
		}
	})
}
