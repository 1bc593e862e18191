//go:build linux

package swarm

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// sight is one answer that a client got.
type sight struct {
	health bool      // it is of /health, else of the account
	at     time.Time // when it was asked for
	took   time.Duration
	status int // 0: none
}

// watch asks for one account and for /health ten times a second, each time on
// a new connection, and remembers all answers.
type watch struct {
	mu     sync.Mutex
	sights []sight
	stop   func()
}

// watch begins; it ends with the test.
func (s *stack) watch(id string) *watch {
	w := &watch{}
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w.stop = every(100*time.Millisecond, func() {
		account, health := look(&client, s.url+"/accounts/"+id), look(&client, s.url+"/health")
		health.health = true
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sights = append(w.sights, account, health)
	})
	s.t.Cleanup(w.stop)
	return w
}

func look(client *http.Client, url string) sight {
	s := sight{at: time.Now()}
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err) // of a constant
	}
	req.Header.Set("Authorization", bearer)
	if res, err := client.Do(req); err == nil {
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		s.status = res.StatusCode
	}
	s.took = time.Since(s.at)
	return s
}

// seen are the answers of /health, or else for the account, that were asked for after a moment.
func (w *watch) seen(health bool, after time.Time) (all []sight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sights {
		if s.health == health && s.at.After(after) {
			all = append(all, s)
		}
	}
	return all
}

// slowestHealth is the longest that an answer of /health took, and how many of all were not 200.
func (w *watch) slowestHealth() (slowest time.Duration, all, bad int) {
	for _, s := range w.seen(true, time.Time{}) {
		all++
		slowest = max(slowest, s.took)
		if s.status != http.StatusOK {
			bad++
		}
	}
	return slowest, all, bad
}

// every calls f again and again until stop, which waits for its end.
func every(pause time.Duration, f func()) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			f()
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-ended })
}

// load is steady: each client has a connection of its own that it keeps, and a pause between two requests.
type load struct {
	url          string
	fresh        bool          // each request has a new connection
	keyed        atomic.Bool   // writers create accounts, each with an Idempotency-Key
	patience     time.Duration // how long a client waits for an answer; 0: 10s
	asked, wrong atomic.Int64
	mu           sync.Mutex
	errors       []string // the first of them
	acknowledged []string // paths below /accounts of what was written
	firstWrong   time.Time
	lastWrong    time.Time
	slowest      time.Duration // of the requests since longestWait was asked
}

// run starts clients of which writers put new accounts and the others read one. stop ends and waits for them.
func (l *load) run(t *testing.T, readers, writers int, pause time.Duration) (stop func()) {
	t.Helper()
	var stops []func()
	for n := range readers + writers {
		client := http.Client{Timeout: cmp.Or(l.patience, 10*time.Second),
			Transport: &http.Transport{MaxIdleConnsPerHost: 1, DisableKeepAlives: l.fresh}}
		wrote := 0
		stops = append(stops, every(pause, func() {
			if n < readers {
				l.ask(&client, http.MethodGet, "/10000", "")
				return
			}
			wrote++
			if l.keyed.Load() {
				l.ask(&client, http.MethodPost, "", `{"name":"Created"}`)
				return
			}
			l.ask(&client, http.MethodPut, fmt.Sprintf("/w-%d-%d", n, wrote), `{"name":"Written"}`)
		}))
	}
	stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	t.Cleanup(stop)
	return stop
}

func (l *load) ask(client *http.Client, method, path, body string) {
	req, err := http.NewRequest(method, l.url+"/accounts"+path, strings.NewReader(body))
	if err != nil {
		panic(err) // of a constant
	}
	req.Header.Set("Authorization", bearer)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	l.asked.Add(1)
	at := time.Now()
	res, err := client.Do(req)
	said := ""
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		said = res.Status
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(at))
	if err == nil && res.StatusCode/100 == 2 {
		if method == http.MethodPost {
			path = "/" + filepath.Base(res.Header.Get("Location"))
		}
		if method != http.MethodGet {
			l.acknowledged = append(l.acknowledged, path)
		}
		return
	}
	l.wrong.Add(1)
	l.lastWrong = time.Now()
	if l.firstWrong.IsZero() {
		l.firstWrong = at
	}
	if len(l.errors) < 5 {
		l.errors = append(l.errors, fmt.Sprint(at.Format("15:04:05.000 "), method, " ", said, err))
	}
}

// longestWait returns the longest wait of the requests that ended since its last call.
func (l *load) longestWait() (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest, l.slowest = l.slowest, 0
	return longest
}

// wantNoneLost wants that all accounts that were acknowledged are there.
func (l *load) wantNoneLost(t *testing.T) {
	t.Helper()
	var lost []string
	for _, path := range l.acknowledged {
		if status, body := harness.Ask("GET", l.url+"/accounts"+path, "", "Authorization", bearer); status != http.StatusOK {
			lost = append(lost, fmt.Sprint(path, ": ", status, " ", body))
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are lost: %q", len(lost), len(l.acknowledged), lost[:min(len(lost), 5)])
	}
}
