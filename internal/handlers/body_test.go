package handlers_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/handlers"
	"accountservice/internal/store/storetest"
)

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
