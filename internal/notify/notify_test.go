package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// soon is a timing for tests.
var soon = timing{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond,
	[]time.Duration{time.Millisecond, time.Millisecond}}

// well is a healthy service, ill one that fails.
var (
	component = checks.Component{Name: "accountservice", Version: "1.2.3"}
	well      = &checks.Snapshot{Component: component, Status: "OK", Healthy: true, Ready: true,
		Checks: []checks.CheckHistory{{CheckState: checks.CheckState{Name: "bolt", Status: checks.OK}}}}
	ill = &checks.Snapshot{Component: component, Status: "Unavailable", Checks: []checks.CheckHistory{{
		CheckState: checks.CheckState{Name: "bolt", Status: checks.Failing, OnFailure: checks.Restart, Error: "<!channel> cut"}}}}
	draining = &checks.Snapshot{Component: component, Status: "Partially Available", Healthy: true,
		Checks: well.Checks, Reasons: []checks.Reason{{Name: "drain", Text: "told to stop"}}}
)

// told is a Notifier under way, and what it says.
type told struct {
	*Notifier
	health atomic.Pointer[checks.Snapshot]
	log    harness.Buffer
}

// tell runs a Notifier of a starting service until the test ends.
func tell(t *testing.T, url, heartbeat string) *told {
	t.Helper()
	return tellWith(t, url, heartbeat, soon)
}

func tellWith(t *testing.T, url, heartbeat string, when timing) *told {
	t.Helper()
	d := &told{}
	d.health.Store(checks.Pending{Component: component, Reason: "opening"}.Snapshot())
	d.Notifier = newNotifier(Options{URL: url, HeartbeatURL: heartbeat, Instance: "node-1", Health: d.health.Load,
		Log: slog.New(slog.NewTextHandler(&d.log, nil))}, when)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() {
		begun := time.Now()
		cancel()
		<-done
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the end took %s", took)
		}
		for _, secret := range []string{"hunter2", "localhost", "127.0.0.1", url, heartbeat} {
			if secret != "" && strings.Contains(d.log.String(), secret) {
				t.Errorf("the log has %s: %s", secret, d.log.String())
			}
		}
	})
	return d
}

// receiver answers with these statuses in turn, the last one for ever, and keeps what it gets.
func receiver(t *testing.T, statuses ...int) (url string, got chan string) {
	t.Helper()
	got = make(chan string, 100)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status := statuses[min(int(n.Add(1)), len(statuses))-1]
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		got <- fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Content-Type"), " ", string(body))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/hunter2", got
}

// next is the next request, or "" if none comes within a while.
func next(t *testing.T, got <-chan string, limit time.Duration) string {
	t.Helper()
	select {
	case text := <-got:
		return text
	case <-time.After(limit):
		return ""
	}
}

func (d *told) logs(t *testing.T, want string) {
	t.Helper()
	if !harness.Until(20*time.Second, func() bool { return strings.Contains(d.log.String(), want) }) {
		t.Errorf("the log lacks %q: %s", want, d.log.String())
	}
}

func TestEachChangeOfTheVerdictIsOneNotice(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, 200)
	d := tell(t, url, "")
	if text := next(t, got, 50*time.Millisecond); text != "" {
		t.Errorf("told that it is starting: %s", text)
	}
	from := "starting"
	for _, c := range []struct {
		health *checks.Snapshot
		status string
		text   string
	}{
		{well, "OK", "accountservice 1.2.3 on node-1: OK, ready; before: starting, not ready"},
		{ill, "Unavailable", "accountservice 1.2.3 on node-1: Unavailable, not ready; before: OK, ready. Because of: bolt (restart)"},
		{draining, "Partially Available", "accountservice 1.2.3 on node-1: Partially Available, not ready; before: Unavailable, not ready. Because of: drain"},
	} {
		d.health.Store(c.health)
		text := next(t, got, 20*time.Second)
		body, is := strings.CutPrefix(text, "POST /hunter2 application/json ")
		var n notice
		if err := json.Unmarshal([]byte(body), &n); !is || err != nil {
			t.Fatalf("%s, %v", text, err)
		}
		if n.Status != c.status || n.From != from || n.Text != c.text || n.Instance != "node-1" || n.Version != "1.2.3" || n.Ready != c.health.Ready {
			t.Errorf("%+v, want %s from %s: %s", n, c.status, from, c.text)
		}
		if c.health == ill && (len(n.Failing) != 1 || n.Failing[0] != failing{"bolt", "restart", "<!channel> cut"}) {
			t.Errorf("failing: %+v", n.Failing)
		}
		from = c.status
		if again := next(t, got, 50*time.Millisecond); again != "" {
			t.Errorf("told twice: %s", again)
		}
	}
}

func TestNoticeIsTriedAgainWhereThatCanHelp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []int
		requests int
		log      string
	}{
		"busy at first":   {[]int{500, 429, 200}, 3, ""},
		"ill for ever":    {[]int{500}, 3, `tries=3 err="answered 500 Internal Server Error"`},
		"unknown webhook": {[]int{404}, 1, `tries=1 err="answered 404 Not Found"`},
		"elsewhere":       {[]int{302}, 1, `tries=1 err="answered 302: a redirect is not followed"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, got := receiver(t, c.statuses...)
			d := tell(t, url, "")
			d.health.Store(well)
			for n := range c.requests {
				if text := next(t, got, 20*time.Second); !strings.HasPrefix(text, "POST /hunter2 ") {
					t.Fatalf("request %d: %q", n, text)
				}
			}
			if text := next(t, got, 50*time.Millisecond); text != "" {
				t.Errorf("one too many: %s", text)
			}
			if c.log != "" {
				d.logs(t, c.log)
			} else if d.log.String() != "" {
				t.Errorf("the log has %s", d.log.String())
			}
		})
	}
}

func TestReceiverThatCannotBeReachedIsLoggedWithoutItsAddress(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	addr := closed.Addr().String()
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(func() { secure.Close() })
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	harness.Must(t, err)
	t.Cleanup(func() { mute.Close() })
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		io.WriteString(conn, "hunter2 hello\r\n")
		conn.Close()
	}))
	t.Cleanup(func() { odd.Close() })
	for url, want := range map[string]string{
		"http://" + addr + "/hunter2":                    "connection refused",
		secure.URL + "/hunter2":                          "its certificate is not trusted",
		"http://" + mute.Addr().String() + "/hunter2":    "no answer within 200ms",
		odd.URL + "/hunter2":                             "it does not speak HTTP as expected",
		"http://hunter2.invalid/":                        "cannot be resolved",
		"http://127.0.0.1:1/?token=hunter2":              "connection refused",
		"http://hunter2:hunter2@" + addr + "/?hunter2=1": "connection refused",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			when := soon
			if !strings.Contains(url, mute.Addr().String()) {
				when.answer = 20 * time.Second
			}
			d := tellWith(t, url, url, when)
			d.health.Store(well)
			d.logs(t, `msg="a notice was not delivered" see=notify.url tries=3 err="`)
			d.logs(t, `msg="heartbeats are not taken" see=notify.heartbeat_url err="`)
			d.logs(t, want)
		})
	}
}

// hung takes requests and never answers, until the test ends.
func hung(t *testing.T) (url string, asked chan bool) {
	t.Helper()
	end, asked := make(chan struct{}), make(chan bool, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(end); server.Close() })
	return server.URL, asked
}

func TestHungReceiverCostsOneGoroutineAndTheOldestNotices(t *testing.T) {
	url, asked := hung(t)
	before := runtime.NumGoroutine()
	patient := soon
	patient.answer = time.Minute
	d := tellWith(t, url, "", patient)
	d.health.Store(well)
	<-asked
	for i := 1; i < 3*maxQueue; i++ {
		d.health.Store([]*checks.Snapshot{well, ill}[i%2])
		if !harness.Until(20*time.Second, func() bool { // the first is under way, and the last wait
			return len(d.queue) == min(i, maxQueue) && strings.Count(d.log.String(), "a notice is dropped") == max(0, i-maxQueue)
		}) {
			t.Fatalf("after %d changes %d wait: %s", i+1, len(d.queue), d.log.String())
		}
	}
	// Run, watch and deliver; and of the one request under way some of the client's and the server's
	if more := runtime.NumGoroutine() - before; more > 3+6 {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines more:\n%s", more, stacks[:runtime.Stack(stacks, true)])
	}
}

func TestHungReceiverOfNoticesDoesNotHoldUpHeartbeats(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, 200)
	silent, _ := hung(t)
	d := tell(t, silent, url)
	d.health.Store(well)
	for range 5 {
		if text := next(t, got, 20*time.Second); !strings.HasPrefix(text, "GET /hunter2") {
			t.Fatalf("a heartbeat is %q", text)
		}
	}
}

func TestHeartbeatsComeWhileHealthyAndLogTheirFailureOnce(t *testing.T) {
	t.Parallel()
	url, got := receiver(t, 500, 500, 500, 200)
	d := tell(t, "", url)
	if text := next(t, got, 100*time.Millisecond); text != "" {
		t.Errorf("a heartbeat while starting: %s", text)
	}
	d.health.Store(draining) // it is healthy
	for range 5 {
		if text := next(t, got, 20*time.Second); !strings.HasPrefix(text, "GET ") {
			t.Fatalf("a heartbeat is %q", text)
		}
	}
	d.logs(t, "heartbeats are taken again")
	if n := strings.Count(d.log.String(), "heartbeats are not taken"); n != 1 {
		t.Errorf("logged %d times: %s", n, d.log.String())
	}
	d.health.Store(ill)
	for next(t, got, 100*time.Millisecond) != "" { // those under way
	}
	if text := next(t, got, 200*time.Millisecond); text != "" {
		t.Errorf("a heartbeat while ill: %s", text)
	}
}
