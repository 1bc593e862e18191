package connections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/tests/harness"
)

// serveHTTP2 serves handler over TLS in the bubble of a test. It returns a client that has one connection.
func serveHTTP2(t *testing.T, p *Pool, handler http.HandlerFunc) *http.Client {
	ca, l := harness.NewAuthority(t), make(harness.Pipes)
	server := &http.Server{Handler: handler, TLSConfig: ca.Server(t, 1000*time.Hour, "svc.test")}
	go p.Run(t.Context())
	go p.Serve(server, l)
	client := ca.Client(true)
	client.Timeout = 0
	transport := client.Transport.(*http.Transport)
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, conn := net.Pipe()
		if t.Context().Err() == nil {
			select {
			case l <- conn:
				return client, nil
			case <-t.Context().Done():
			}
		}
		return nil, t.Context().Err()
	}
	t.Cleanup(func() { close(l); transport.CloseIdleConnections(); server.Close() })
	return client
}

// more asks for an answer that must come at once, beside others.
func more(t *testing.T, client *http.Client) {
	t.Helper()
	resp, err := client.Get("https://svc.test/")
	if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("beside it: %v, %v", resp, err)
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func TestStreamOfASlowBodyIsCutAndTheOthersAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, began := serveHTTP2(t, roomy(), readAll), time.Now()
		body, in := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for err := error(nil); err == nil; time.Sleep(time.Second) {
				_, err = io.WriteString(in, "x")
				more(t, client)
			}
		}()
		resp, err := client.Post("https://svc.test/", "text/plain", body)
		if took := time.Since(began); err != nil || resp.StatusCode != 408 || took > (patience+2)*time.Second {
			t.Errorf("%v, %v after %s; want 408 after %d s", resp, err, took, patience)
		}
		body.CloseWithError(io.ErrClosedPipe)
		<-done
		more(t, client)
	})
}

// The client takes no more than its window, so the connection is never full.
func TestStreamOfAnUnreadAnswerIsCutAndTheOthersAreNot(t *testing.T) {
	const window = 4 << 20 // of net/http's client
	for name, lift := range map[string]bool{"with a deadline": false, "of a stream": true} {
		synctest.Test(t, func(t *testing.T) {
			began, ended := time.Now(), make(chan time.Duration, 1)
			client := serveHTTP2(t, roomy(), func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/large" {
					if lift {
						http.NewResponseController(w).SetWriteDeadline(time.Time{})
					}
					if _, err := w.Write(make([]byte, 2*window)); err == nil {
						t.Error("all of it is written")
					}
					ended <- time.Since(began)
				}
			})
			resp, err := client.Get("https://svc.test/large")
			harness.Must(t, err)
			more(t, client)
			if took := <-ended; took > (patience+2)*time.Second {
				t.Errorf("%s: the write ends after %s, want %d s", name, took, patience)
			}
			more(t, client)
			resp.Body.Close()
		})
	}
}

// One connection with many streams holds what they hold, and is closed before an idle one that came earlier.
func TestMemoryOfStreamsCountsForTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = 8 << 20 // more than net/http's client takes
		p := New(Limits{1000, 5 * perWrite * answer / 2, false}, slog.New(slog.DiscardHandler))
		handler := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Write(make([]byte, answer))
			}
		}
		idle := serve(t, p, handler)()
		io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		io.ReadAtLeast(idle, make([]byte, 8<<10), 1)
		time.Sleep(time.Second)
		client := serveHTTP2(t, p, handler)
		var cut atomic.Int64
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				resp, err := client.Get("https://svc.test/large")
				time.Sleep(4 * time.Second)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err != nil {
					cut.Add(1)
				}
			})
			time.Sleep(time.Second)
		}
		all.Wait()
		idle.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := idle.Read(make([]byte, 1)); errors.Is(err, io.EOF) || cut.Load() == 0 {
			t.Errorf("the idle connection has %v; %d streams are cut", err, cut.Load())
		}
		idle.Close()
		client.CloseIdleConnections()
		wantNothingHeld(t, p)
	})
}

// net/http receives the begin of a body before the handler reads it, as while the request waits for its place.
func TestBodyThatIsReceivedBeforeItIsReadCounts(t *testing.T) {
	for name, length := range map[string]int64{"of a length": receiveBuffer, "of no length": -1} {
		synctest.Test(t, func(t *testing.T) {
			p := roomy()
			client := serveHTTP2(t, p, func(_ http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Minute)
				io.Copy(io.Discard, r.Body)
			})
			r, err := http.NewRequest(http.MethodPost, "https://svc.test/", io.LimitReader(zeros{}, receiveBuffer))
			harness.Must(t, err)
			r.ContentLength = length
			go func() {
				time.Sleep(time.Second)
				if held := p.held.Load(); held < receiveBuffer {
					t.Errorf("%s: %d bytes are held, and %d are received", name, held, receiveBuffer)
				}
			}()
			resp, err := client.Do(r)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			resp.Body.Close()
		})
	}
}

// All streams of a connection have one receive buffer. To count it for each would close a proxy's connection.
func TestWhatStreamsMayReceiveCountsOnceForTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, release := roomy(), make(chan struct{})
		client := serveHTTP2(t, p, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/last" {
				time.Sleep(time.Minute)
			} else {
				<-release
			}
			io.Copy(io.Discard, r.Body)
		})
		holds := func(streams int64) {
			t.Helper()
			synctest.Wait()
			least := streams*perStream + receiveBuffer
			if held := p.held.Load(); held < least || held > least+receiveBuffer {
				t.Errorf("%d bytes are held for %d streams, want some more than %d", held, streams, least)
			}
		}
		post := func(path string) {
			resp, err := client.Post("https://svc.test"+path, "text/plain", io.LimitReader(zeros{}, 1000)) // of no length
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
				return
			}
			resp.Body.Close()
		}
		var all sync.WaitGroup
		all.Go(func() { post("/last") })
		for range 49 {
			all.Go(func() { post("/") })
		}
		time.Sleep(time.Second)
		holds(50)
		close(release)
		time.Sleep(time.Second)
		holds(1)
		all.Wait()
	})
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// spy calls look before each Write.
type spy struct {
	http.ResponseWriter
	look func()
}

func (s spy) Write(p []byte) (int, error) {
	s.look()
	return s.ResponseWriter.Write(p)
}

// A client that waited an hour for the service, and whose answer begins, is not closed before one that was silent for a
// minute.
func TestTimeInTheServiceDoesNotCountWhenRoomIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := roomy()
		wantSilentFirst := func() {
			all := p.ranked()
			first := slices.IndexFunc(all, func(c candidate) bool { return c.turn() == clients })
			if c, is := all[first].victim.(*Conn); !is || c.spoke.Load() {
				t.Error("the one that asked is closed first")
			}
		}
		handler := func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			if s, is := w.(*stream); is {
				s.ResponseWriter = spy{s.ResponseWriter, wantSilentFirst}
			} else {
				time.Sleep(time.Second) // until the other has looked
			}
			w.Write([]byte("x"))
		}
		client, dial := serveHTTP2(t, p, handler), serve(t, p, handler)
		asked := dial()
		io.WriteString(asked, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		go func() {
			time.Sleep(59 * time.Minute)
			dial()
		}()
		more(t, client)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantSilentFirst() // while the answer over HTTP/1 waits to be read
		asked.Close()
		synctest.Wait()
	})
}

// Short answers stay with net/http until their handler has ended. They count until the client has taken them.
func TestShortAnswersThatAreNotTakenCountAndAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := roomy()
		client := serveHTTP2(t, p, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				w.Write(make([]byte, 4000))
			}
		})
		const window, n = 1 << 16, 60 // the client takes the answers to 16 requests
		client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: window}
		for range n {
			resp, err := client.Get("https://svc.test/short")
			harness.Must(t, err)
			defer resp.Body.Close()
		}
		time.Sleep(time.Second)
		if held := p.held.Load(); held < (n-20)*perStream {
			t.Errorf("%d bytes are held by %d streams", held, n-16)
		}
		time.Sleep((patience + 1) * time.Second)
		if held := p.held.Load(); held > 2*p.each {
			t.Errorf("%d bytes are held, want none by streams", held)
		}
		more(t, client)
	})
}

func TestConnectionHasABoundOfRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := make(map[any]int), 0
		client := serveHTTP2(t, roomy(), func(_ http.ResponseWriter, r *http.Request) {
			conn := r.Context().Value(connKey{})
			mu.Lock()
			now[conn]++
			most = max(most, now[conn])
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now[conn]--
			mu.Unlock()
		})
		more(t, client)
		var all sync.WaitGroup
		for range maxStreams + 20 {
			all.Go(func() { more(t, client) })
		}
		all.Wait()
		if most > maxStreams || most < maxStreams/2 {
			t.Errorf("%d requests at once, want up to %d", most, maxStreams)
		}
	})
}

// The wait for a body begins with the 100 Continue that is written.
func TestBodyThatDoesNotComeAfter100ContinueIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, began := serve(t, roomy(), readAll)(), time.Now()
		fmt.Fprint(conn, "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
		conn.SetDeadline(began.Add(time.Hour))
		answer, err := io.ReadAll(conn)
		if took := time.Since(began); err != nil || !strings.Contains(string(answer), "408 Request Timeout") || took > (patience+2)*time.Second {
			t.Errorf("%q, %v after %s; want 408 after %d s", answer, err, took, patience)
		}
	})
}
