//go:build linux

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"accountservice/tests/harness"
)

// requestLimit is the request deadline of the service and a second more: a request that takes longer hangs.
const requestLimit = 6 * time.Second

// seedsRead is how many of the seeded accounts the reader asks for. The others
// stay untouched, so that it is the check that finds what happened to them.
const seedsRead = 100

// account is one in an answer.
type account struct {
	ID      string
	Name    string
	Version int64
}

// load is the clients of a service: a writer that remembers what was
// acknowledged, and a reader that knows what it must read.
type load struct {
	url    string
	long   bool // each write makes a new account with a long name, so that the file grows
	client *http.Client
	quiet  atomic.Bool // writes nothing
	deaf   atomic.Bool // reads nothing
	stop   chan struct{}
	all    sync.WaitGroup

	flying  atomic.Int32 // writes under way
	reading atomic.Int32 // reads under way
	acks    atomic.Int32

	mu      sync.Mutex
	acked   map[string]account // the newest acknowledged state of each account
	done    map[string]int     // of each kind of work or answer, in the runs without a fault
	codes   map[string]bool    // "PUT 503" since forget
	slowest time.Duration
	faults  []string // answers that must not be, at most some of them
}

// newLoad is a load that does nothing by itself.
func newLoad(url string) *load {
	return &load{
		url:    url,
		client: &http.Client{Timeout: requestLimit + 4*time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
		stop:   make(chan struct{}),
		acked:  make(map[string]account),
		done:   make(map[string]int),
		codes:  make(map[string]bool),
	}
}

// tick calls f at each tick, each time on a goroutine of its own: a slow answer
// delays no other request. n counts the calls.
func (l *load) tick(every time.Duration, off *atomic.Bool, f func(n int)) {
	l.all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				if !off.Load() {
					l.all.Go(func() { f(n) })
				}
			}
		}
	})
}

// end stops the clients and waits for the last answers.
func (l *load) end() {
	close(l.stop)
	l.all.Wait()
	l.client.CloseIdleConnections()
}

// still makes the writer stop and waits until no write is under way.
func (l *load) still() {
	l.quiet.Store(true)
	harness.Until(10*time.Second, func() bool { return l.flying.Load() == 0 })
}

// forget drops answers that there were, and the time of the slowest.
func (l *load) forget(which func(code string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.codes, func(code string, _ bool) bool { return which(code) })
	l.slowest = 0
}

func everything(string) bool { return true }

func (l *load) write(n int) {
	id, name := fmt.Sprintf("w-%02d", n%100), fmt.Sprint("write ", n)
	if l.long {
		id, name = fmt.Sprint("long-", n), strings.Repeat("x", 240)
	}
	l.put(id, name)
}

// put writes one account and remembers it when that was acknowledged.
func (l *load) put(id, name string) int { return l.putAt(l.url, id, name) }

func (l *load) putAt(url, id, name string) int {
	l.flying.Add(1)
	defer l.flying.Add(-1)
	acc, code := l.do("PUT", url+"/accounts/"+id, fmt.Sprintf(`{"name":%q}`, name))
	if code/100 == 2 {
		l.acks.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		if acc.Version > l.acked[id].Version {
			l.acked[id] = acc
		}
	}
	return code
}

func (l *load) read(int) {
	l.reading.Add(1)
	defer l.reading.Add(-1)
	n := rand.IntN(seedsRead)
	id := fmt.Sprint(10000 + n)
	acc, code := l.do("GET", l.url+"/accounts/"+id, "")
	if code == 404 || code == 200 && acc.Name != fmt.Sprint("Person_", n) {
		l.wrong("GET %s = %d %q: silently not what was stored", id, code, acc.Name)
	}
}

// do makes a request and judges the form of its answer.
func (l *load) do(method, url, body string) (acc account, code int) {
	began := time.Now()
	code, answer, err := l.send(method, url, body)
	took := time.Since(began)
	said := fmt.Sprint(code)
	switch {
	case err != nil:
		said = why(err)
	case code < 300:
		if err := json.Unmarshal(answer, &acc); err != nil {
			l.wrong("%s %s = %d %s", method, url, code, answer)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes[method+" "+said] = true
	l.slowest = max(l.slowest, took)
	return acc, code
}

// send returns the answer to a request, which has problem details if it is a 5xx.
func (l *load) send(method, url, body string, header ...string) (code int, answer []byte, err error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, err
	}
	isProblem := resp.Header.Get("Content-Type") == "application/problem+json"
	if resp.StatusCode >= 500 && !isProblem && strings.Contains(url, "/accounts") {
		l.wrong("%s %s = %d without problem details: %s", method, url, resp.StatusCode, answer)
	}
	return resp.StatusCode, answer, nil
}

func (l *load) wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 5 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// seen returns the kinds of answers since forget, and the slowest.
func (l *load) seen() (codes []string, slowest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for code := range l.codes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes, l.slowest
}
