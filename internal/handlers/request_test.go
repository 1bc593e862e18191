package handlers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/handlers"
	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

func TestBodyThatDoesNotArriveWholeIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(bare(store.Unavailable("never to be asked")))
	server.Config.ReadHeaderTimeout, server.Config.ReadTimeout = 10*time.Second, time.Second // the header may come late, the body does not come
	server.Start()
	defer server.Close()
	for _, c := range []struct {
		rest   string
		status int
		detail string
	}{
		{"Content-Length: 100\r\n\r\n{", 408, "The body did not arrive in time."},
		{"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "The body could not be read to its end."},
	} {
		r := service{Server: server}.raw(t, "PUT", "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+c.rest)
		if p := r.isProblem(t, c.status); p.Detail != c.detail {
			t.Errorf("detail %q, want %q", p.Detail, c.detail)
		}
	}
}

func TestBodyOfNoEncodingMaySaySo(t *testing.T) {
	s := serve(t, nil)
	for _, coding := range []string{"identity", "Identity"} {
		s.do(t, "PUT", "/accounts/10000", `{"name":"x"}`, "Content-Encoding", coding).is(t, 200, &store.Account{})
	}
}

// dripping is a body that comes after a while.
type dripping struct {
	after time.Duration
	io.Reader
}

func (d *dripping) Read(p []byte) (int, error) {
	time.Sleep(d.after) // of a synctest bubble
	d.after = 0
	return d.Reader.Read(p)
}

// A slow client is not a slow store: the deadline begins when the body is here.
func TestSlowBodyTakesNothingOfTheDeadline(t *testing.T) {
	for _, slow := range []time.Duration{0, requestTimeout - time.Second, requestTimeout + time.Second, time.Minute} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left time.Duration
				handler := bare(storetest.Faulty{OnPut: func(ctx context.Context) error {
					end, _ := ctx.Deadline()
					left = time.Until(end)
					return ctx.Err()
				}})
				answer := ask(handler, putOf(&dripping{slow, strings.NewReader(`{"name":"x"}`)}))
				if answer.Code != 200 || left != requestTimeout {
					t.Errorf("%d with %s left for the store, want 200 and %s: %s", answer.Code, left, requestTimeout, answer.Body)
				}
			})
		})
	}
}

// net/http refuses what is no request by itself, before there is a route.
func TestWhatIsNoRequestIsRefused(t *testing.T) {
	s := serveHandler(t, bare(store.Unavailable("never to be asked")))
	for text, status := range map[string]int{
		"nonsense\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n":         417,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n":  501,
		"GET / HTTP/2.0\r\nHost: x\r\n\r\n":                             505,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20): 431,
	} {
		if r := s.raw(t, "GET", text); r.StatusCode != status || strings.Contains(r.Header.Get("Content-Type"), "json") {
			t.Errorf("%.60q = %d %s, want %d in plain text", text, r.StatusCode, r.Header.Get("Content-Type"), status)
		}
	}
}

// HTTP/1.0 has no chunked bodies, and a request that tells no length has none.
func TestBodyOfNoLengthIs411(t *testing.T) {
	s := serve(t, nil)
	for _, text := range []string{
		"PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n",
		"POST /accounts HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n\r\n{\"name\":\"x\"}",
		"POST /accounts:import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\r\n",
		"POST /accounts:import HTTP/1.0\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\r\n{\"id\":\"a\",\"name\":\"x\"}\n",
	} {
		method, _, _ := strings.Cut(text, " ")
		s.raw(t, method, text).isProblem(t, 411)
	}
	s.raw(t, "PUT", "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n").isProblem(t, 400)
	chunked := "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"name\":\"x\"}\r\n0\r\n\r\n"
	s.raw(t, "PUT", chunked).is(t, 201, &store.Account{})
}

// The answer comes in place of 100 Continue.
func TestBodyThatIsAnnouncedTooLongIsNotWaitedFor(t *testing.T) {
	s := serve(t, nil)
	for _, length := range []int{1<<20 + 1, 1 << 30} {
		text := fmt.Sprintf("PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length)
		if r := s.raw(t, "PUT", text); !r.Close {
			t.Errorf("%d: the connection is kept", length)
		} else {
			r.isProblem(t, 413)
		}
	}
}

// As browsers do: they read when all is sent. net/http alone would reset the connection meanwhile.
func TestClientThatSendsAllOfATooLongBodyIsToldSo(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	const length = 12 << 20
	body := strings.Repeat(" ", length)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", length, body)
	for _, rest := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n%s", length, body), chunked} {
		s.raw(t, "PUT", "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+rest).isProblem(t, 413)
	}
	// it was told to go on, since nobody knew how long the body is
	in := bufio.NewReader(s.dial(t, "PUT /accounts/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Expect: 100-continue\r\n"+chunked))
	for _, status := range []int{100, 413} {
		resp, err := http.ReadResponse(in, nil)
		harness.Must(t, err)
		if resp.StatusCode != status {
			t.Errorf("%s, want %d", resp.Status, status)
		}
	}
}

// serveTutorial serves a database as the tutorial's program writes it.
func serveTutorial(t *testing.T, records map[string]string) service {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := bbolt.Open(path, 0o600, nil)
	harness.Must(t, err)
	harness.Must(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("AccountBucket"))
		for id, record := range records {
			err = errors.Join(err, b.Put([]byte(id), []byte(record)))
		}
		return err
	}))
	harness.Must(t, db.Close())
	return serveHandler(t, bare(openBolt(t, path, 0)))
}

// Files that others wrote can have ids that no request may name.
func TestCursorOfAForeignIDPagesOn(t *testing.T) {
	ids := []string{"a b", "a/b", "c", "d%zz", "é", "\xff"}
	records := make(map[string]string)
	for i, id := range ids {
		records[id] = fmt.Sprintf(`{"id":"any","name":"Person_%d"}`, i)
	}
	s := serveTutorial(t, records)
	next := ""
	for i := range ids { // one by one: each cursor holds one of the ids
		var page accountPage
		s.do(t, "GET", "/accounts?limit=1"+next, "").is(t, 200, &page)
		if want := fmt.Sprint("Person_", i); len(page.Items) != 1 || page.Items[0].Name != want || (page.NextCursor == "") != (i == len(ids)-1) {
			t.Errorf("page %d holds %+v, want %s", i, page, want)
		}
		next = "&cursor=" + page.NextCursor
	}
}

// large returns a body of that many bytes, which needs a place of its own.
func large(bytes int) string {
	const begin, end = `{"name":"x","labels":{"a":"b"}`, `}`
	return begin + strings.Repeat(" ", bytes-len(begin)-len(end)) + end
}

// Clients that send nothing, or little, of a large body take no place from a client that sends all of it: that one is
// served at once.
func TestSlowLargeBodiesKeepNoPlaceFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := bare(storetest.Faulty{OnPut: func(context.Context) error { return nil }})
		put := func(body io.Reader) (status int, took time.Duration) {
			begin := time.Now()
			req := putOf(body)
			req.ContentLength = 200_000
			return ask(handler, req).Code, time.Since(begin)
		}
		var slow sync.WaitGroup
		for range 128 {
			slow.Go(func() { put(&dripping{time.Minute, strings.NewReader(large(200_000))}) })
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond) // they are 25 MB, more than may be read at once
		synctest.Wait()
		if status, took := put(strings.NewReader(large(200_000))); status != 200 || took > 0 {
			t.Errorf("one that sends at once has %d after %s", status, took)
		}
		slow.Wait()
	})
}

// Requests that wait for a store have no place, so that none of them refuses another.
func TestLargeBodiesWaitForTheStoreBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := overNothing()
		opts.Hold, opts.MaxConcurrent = 5*time.Second, 20
		handler := handlers.New(opts)
		time.AfterFunc(4*time.Second, func() {
			opts.Live.Serve(handlers.Parts{Store: storetest.Faulty{OnPut: func(context.Context) error { return nil }}})
		})
		var got [9]int
		var all sync.WaitGroup
		for i := range got { // 9 MiB, and 8 may be in memory
			all.Go(func() { got[i] = ask(handler, putOf(strings.NewReader(large(1<<20)))).Code })
			synctest.Wait()
		}
		all.Wait()
		if got != [9]int{200, 200, 200, 200, 200, 200, 200, 200, 503} {
			t.Errorf("large bodies that wait have %d, want 200 of all that have room, and 503", got)
		}
	})
}

// Clients that write large bodies share a flush of a slow disk, also more of them than may be decoded at once.
func TestLargeBodiesShareASlowFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := bare(storetest.Faulty{OnPut: func(context.Context) error {
			time.Sleep(200 * time.Millisecond)
			return nil
		}})
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for range 5 {
					if answer := ask(handler, putOf(strings.NewReader(large(8000)))); answer.Code != 200 {
						t.Errorf("one of 64 writers gets %d", answer.Code)
					}
				}
			})
		}
		all.Wait()
	})
}
