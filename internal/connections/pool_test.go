package connections

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/tests/harness"
)

// serve serves handler in the bubble of a test, and returns what connects to it.
func serve(t *testing.T, p *Pool, handler http.HandlerFunc) (dial func() net.Conn) {
	l, server := make(harness.Pipes), &http.Server{Handler: handler}
	go p.Run(t.Context())
	go p.Serve(server, l)
	t.Cleanup(func() { close(l); server.Close() })
	return func() net.Conn {
		client, conn := net.Pipe()
		l <- conn
		t.Cleanup(func() { client.Close() })
		return client
	}
}

func roomy() *Pool { return New(Limits{1000, 1 << 30, false}, slog.New(slog.DiscardHandler)) }

// readAll reads the body of each request.
func readAll(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
	}
}

func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	for _, header := range []string{"Content-Length: 1000\r\nExpect: 100-continue", "Content-Length: 1000000"} {
		synctest.Test(t, func(t *testing.T) {
			conn, began := serve(t, roomy(), func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnsupportedMediaType)
			})(), time.Now()
			conn.SetDeadline(began.Add(time.Minute))
			fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", header)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != http.StatusUnsupportedMediaType || time.Since(began) > 0 {
				t.Errorf("%s: %v, %v after %s; want 415 at once", header, resp, err, time.Since(began))
			}
			io.Copy(io.Discard, conn) // until the server has closed it
		})
	}
}

func TestBodyThatOnlyDripsIsCutAndOneThatMovesIsNot(t *testing.T) {
	for _, c := range []struct {
		perSecond, status int
		first             int // bytes at once
		within            time.Duration
	}{
		{1, 408, 0, 12 * time.Second},
		{minRate / 2, 408, 0, 22 * time.Second},
		{1, 408, 10 << 20, 12 * time.Second}, // what was fast may not stand still for long
		{2 * minRate, 200, 0, 62 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, began := serve(t, roomy(), readAll)(), time.Now()
			const seconds = 60
			fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", c.first+seconds*c.perSecond)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, err := io.WriteString(conn, strings.Repeat("x", c.first))
				time.Sleep(sweepEvery / 2) // a byte that moves just when the sweep looks may count in it or not
				for n := 0; n < seconds && err == nil; n++ {
					time.Sleep(time.Second)
					_, err = io.WriteString(conn, strings.Repeat("x", c.perSecond))
				}
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != c.status || time.Since(began) > c.within {
				t.Errorf("%d bytes a second: %v, %v after %s; want %d", c.perSecond, resp, err, time.Since(began), c.status)
			}
			conn.Close()
			<-done
		})
	}
}

// A sweep that finds the service with the last byte of a client must not give that client all patience again.
func TestDripThatMeetsTheSweepIsCutAsSoon(t *testing.T) {
	p := pace{left: patience * minRate}
	for sweep := 1; ; sweep++ {
		p.touch(0, 1)
		if p.slow(sweep%5 != 0, patience) {
			if sweep > patience+4 {
				t.Errorf("cut at sweep %d", sweep)
			}
			return
		}
		if sweep == 100 {
			t.Fatal("never cut")
		}
	}
}

func TestAnswerThatIsNotReadIsCutAndTimeInTheServiceDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := time.Now(), make(chan time.Duration, 1)
		conn := serve(t, roomy(), func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			_, err := w.Write(make([]byte, 1<<20))
			if err == nil {
				t.Error("all of it is written")
			}
			ended <- time.Since(began)
		})()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if took := <-ended - time.Hour; took < patience*time.Second-sweepEvery || took > (patience+2)*time.Second {
			t.Errorf("the write ends after %s, want %d s", took, patience)
		}
	})
}

// wantNothingHeld is for a pool whose connections are closed, in a synctest bubble.
func wantNothingHeld(t *testing.T, p *Pool) {
	t.Helper()
	synctest.Wait()
	if p.held.Load() != 0 || p.leaving.Load() != 0 || p.count.Load() != 0 {
		t.Errorf("%d bytes are held by %d connections, and %d by closed ones, when all are closed", p.held.Load(), p.count.Load(), p.leaving.Load())
	}
}

func TestMemoryIsTakenFromThoseThatHoldItForLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = 1 << 20
		p := New(Limits{1000, 5 * perWrite * answer / 2, false}, slog.New(slog.DiscardHandler))
		dial := serve(t, p, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Write(make([]byte, answer))
			}
		})
		ask := func(path string) net.Conn {
			conn := dial()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			io.ReadAtLeast(conn, make([]byte, 8<<10), map[string]int{"/": 1, "/large": 8 << 10}[path])
			time.Sleep(time.Second)
			return conn
		}
		idle, first, second, third := ask("/"), ask("/large"), ask("/large"), ask("/large")
		for name, c := range map[string]struct {
			conn net.Conn
			cut  bool
		}{"idle": {idle, false}, "first": {first, true}, "second": {second, false}, "third": {third, false}} {
			c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) != c.cut {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, conn := range []net.Conn{idle, first, second, third} {
			conn.Close()
		}
		wantNothingHeld(t, p)
	})
}

// An upload that moves will send more, too, but can hold more memory than all requests that wait for the service.
func TestUploadThatHoldsTheMemoryIsClosedBeforeThoseThatAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Limits{1000, 1 << 20, false}, slog.New(slog.DiscardHandler))
		dial := serve(t, p, func(w http.ResponseWriter, r *http.Request) {
			readAll(w, r)
			time.Sleep(time.Minute)
		})
		asked := dial()
		io.WriteString(asked, request)
		synctest.Wait()
		fmt.Fprintf(dial(), "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20))
		if resp, err := http.ReadResponse(bufio.NewReader(asked), nil); err != nil || resp.StatusCode != 200 || p.totals.room.Load() != 1 {
			t.Errorf("%v, %v, %d closed; want an answer, and the upload closed", resp, err, p.totals.room.Load())
		}
		asked.Close()
		time.Sleep(time.Minute) // until the handlers have ended
	})
}

// short is a listener that has errors of the system in place of the connection after the first ones.
type short struct {
	net.Listener
	first  int
	errors []syscall.Errno
}

func (s *short) Accept() (net.Conn, error) {
	if s.first--; s.first >= 0 || len(s.errors) == 0 {
		return s.Listener.Accept()
	}
	err := os.NewSyscallError("accept4", s.errors[0])
	s.errors = s.errors[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
}

// What other processes have used up comes back, and closing connections does not bring it.
func TestShortageOfTheSystemClosesNeitherConnectionsNorTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, first = 16, 12
		var log bytes.Buffer
		p, in := New(Limits{most, 1 << 30, false}, slog.New(slog.NewTextHandler(&log, nil))), make(harness.Pipes)
		server := &http.Server{Handler: http.HandlerFunc(readAll)}
		go p.Serve(server, &short{in, first, []syscall.Errno{syscall.ENFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}})
		t.Cleanup(func() { close(in); server.Close() })
		for range first + 1 {
			client, conn := net.Pipe()
			select {
			case in <- conn:
			case <-time.After(time.Minute):
				t.Fatal("the listener has ended")
			}
			defer client.Close()
			io.WriteString(client, request)
			if resp, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
			}
		}
		if p.Most() != most || p.count.Load() != first+1 {
			t.Errorf("%d connections of at most %d are open, want %d of %d", p.count.Load(), p.Most(), first+1, most)
		}
		synctest.Wait()
		if said := strings.Count(log.String(), "no connection can be accepted for now"); said != 4 {
			t.Errorf("the log says %d times that none is accepted, want 4", said)
		}
	})
}

// crowded is a pool of few connections on real sockets, whose server answers when the test releases it. Its clock stands
// still, so that on a busy machine no grace is over.
type crowded struct {
	*Pool
	t                *testing.T
	addr             string
	log              harness.Buffer
	entered, release chan struct{}
}

func newCrowded(t *testing.T, most int) *crowded {
	c := &crowded{t: t, entered: make(chan struct{}, 100), release: make(chan struct{})}
	c.Pool = New(Limits{most, 1 << 30, false}, slog.New(slog.NewTextHandler(&c.log, nil)))
	c.now = func() int64 { return 0 }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	c.addr = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		c.entered <- struct{}{}
		<-c.release
	})}
	go c.Serve(server, l)
	t.Cleanup(func() { server.Close() })
	return c
}

func (c *crowded) dial() net.Conn {
	conn, err := net.Dial("tcp", c.addr)
	harness.Must(c.t, err)
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// ask has n clients send a request each, and returns them when the service works on all.
func (c *crowded) ask(n int) (asked []net.Conn) {
	for range n {
		conn := c.dial()
		io.WriteString(conn, request)
		asked = append(asked, conn)
		<-c.entered
	}
	return asked
}

// age makes the connections as if they had waited for an hour.
func (c *crowded) age() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.since.Store(-int64(time.Hour))
	}
}

// awaitClosed waits until more than n connections made room for others.
func (c *crowded) awaitClosed(n int64) {
	c.t.Helper()
	if !harness.Until(20*time.Second, func() bool { return c.totals.room.Load() > n }) {
		c.t.Fatalf("%d connections are closed", c.totals.room.Load())
	}
}

func (c *crowded) wantAnswer(conn net.Conn) {
	c.t.Helper()
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		c.t.Errorf("%v, %v", resp, err)
	}
}

// A client that has asked waits for the service, and keeps its place beside any number of connections that are silent or
// send a part of a request.
func TestSilentConnectionsAreClosedBeforeAnyThatAsked(t *testing.T) {
	for _, sent := range []string{"", "GET /"} {
		c := newCrowded(t, 16)
		asked := c.ask(15)
		c.age()
		for range 100 {
			io.WriteString(c.dial(), sent)
		}
		c.awaitClosed(15 + 100 - 16 - 16*reserve - 1)
		c.age() // or one that takes its answer could be closed before one that only just connected
		close(c.release)
		for _, conn := range asked {
			c.wantAnswer(conn)
		}
		wantShown(t, c.Pool, 80)
		if c.report(); !strings.Contains(c.log.String(), "connections were closed to make room for others") {
			t.Errorf("log: %s", c.log.String())
		}
	}
}

// A probe that has connected, and sends its request at once or gets the CPU a moment later, as on a busy machine, is
// served before requests that have waited for longer.
func TestConnectionOfAProbeIsKeptBesideACrowdThatWaits(t *testing.T) {
	for _, most := range []int{fewest, 16} {
		for _, atOnce := range []bool{true, false} {
			c := newCrowded(t, most)
			c.ask(most + most/8)
			probe := c.dial()
			if atOnce {
				io.WriteString(probe, request)
			}
			c.awaitClosed(0)
			if !atOnce {
				io.WriteString(probe, request)
			}
			close(c.release)
			c.wantAnswer(probe)
		}
	}
}

// Where there may be few connections, a new one does not cost those that wait for the service.
func TestOneTooManyOfFewConnectionsClosesNoneThatAsked(t *testing.T) {
	for most := range 3 {
		c := newCrowded(t, most+1)
		asked := c.ask(most + 1)
		c.dial()
		c.awaitClosed(0)
		close(c.release)
		for _, conn := range asked {
			c.wantAnswer(conn)
		}
	}
}

// wantShown fails unless the metrics have the connections as they are, and more than so many that made room.
func wantShown(t *testing.T, p *Pool, room float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	p.Register(reg)
	families, err := reg.Gather()
	harness.Must(t, err)
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "accountservice_connections_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	if got["most"] != float64(p.Most()) || got["open"] < 8 || got["open"] > 2*got["most"] || got["held_bytes"] < 8*perConn ||
		got["cut_total room"] <= room || got["closed_total"] < got["cut_total room"] || got["cut_total slow"] != 0 || len(got) != 6 {
		t.Errorf("metrics: %v", got)
	}
}

func TestLimitsFollowFileDescriptorsAndMemory(t *testing.T) {
	for _, c := range []struct {
		descriptors, memory int64
		tls                 bool
		connections         int
	}{{256, 16 << 30, false, 192}, {1024, 16 << 30, true, 960}, {1 << 20, 256 << 20, false, 2730}, {1 << 20, 64 << 20, false, 682},
		{1 << 20, 256 << 20, true, 1170}, {8, 64 << 20, false, fewest}} {
		if got := LimitsFor(c.descriptors, c.memory, c.tls); got.Connections != c.connections || got.Bytes != c.memory/4 {
			t.Errorf("%d descriptors and %d bytes: %+v, want %d connections", c.descriptors, c.memory, got, c.connections)
		}
	}
}
