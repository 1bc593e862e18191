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
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"accountservice/internal/checks"
	"accountservice/tests/harness"
)

// well is a healthy service, ill one that fails.
var (
	component = checks.Component{Name: "accountservice", Version: "1.2.3"}
	well      = &checks.Snapshot{Component: component, Status: "OK", Healthy: true, Ready: true,
		Checks: []checks.CheckHistory{{CheckState: checks.CheckState{Name: "bolt", Status: checks.OK}}}}
	ill = &checks.Snapshot{Component: component, Status: "Unavailable", Checks: []checks.CheckHistory{{
		CheckState: checks.CheckState{Name: "bolt", Status: checks.Failing, OnFailure: checks.Restart, Error: "<!channel> cut"}}}}
	// undecided is a start that waits for bolt, and whose dependency fails
	undecided = &checks.Snapshot{Component: component, Status: "Unavailable", Checks: []checks.CheckHistory{
		{CheckState: checks.CheckState{Name: "bolt", Status: checks.Starting, OnFailure: checks.Restart, Error: "starting: no result yet"}},
		{CheckState: checks.CheckState{Name: "users", Status: checks.Failing, OnFailure: checks.Unroute, Error: "refused"}}}}
	// unasked serves, and has no result of a check that degrades
	unasked = &checks.Snapshot{Component: component, Status: "Partially Available", Healthy: true, Ready: true, Checks: []checks.CheckHistory{
		well.Checks[0], {CheckState: checks.CheckState{Name: "records", Status: checks.Starting, OnFailure: checks.Degrade}}}}
	draining = &checks.Snapshot{Component: component, Status: "Partially Available", Healthy: true,
		Checks: well.Checks, Reasons: []checks.Reason{{Name: "drain", Text: "told to stop"}}}
)

const hook, heart = "http://hook.test/hunter2", "http://heart.test/hunter2"

// told is a Notifier under way in a synctest bubble, what it says, and what its receiver gets.
type told struct {
	*Notifier
	health atomic.Pointer[checks.Snapshot]
	log    harness.Buffer
	got    chan string
}

// tell runs a Notifier of a starting service until the test ends. Its receiver answers with these statuses in turn, the
// last one for ever; 0 is never.
func tell(t *testing.T, url, heartbeat string, statuses ...int) *told {
	t.Helper()
	d := &told{got: make(chan string, 100)}
	d.health.Store(checks.Pending{Component: component, Reason: "opening"}.Snapshot())
	d.Notifier = New(Options{URL: url, HeartbeatURL: heartbeat, Instance: "node-1", Health: d.health.Load,
		Log: slog.New(slog.NewTextHandler(&d.log, nil))})
	var n atomic.Int64
	network, receiver := make(harness.Pipes), http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.got <- fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Content-Type"), " ", string(body))
		status := statuses[min(int(n.Add(1)), len(statuses))-1]
		if status == 0 && r.Method == "POST" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(max(status, 200))
	})}
	d.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, others := net.Pipe()
		network <- others
		return ours, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	go receiver.Serve(network)
	t.Cleanup(func() {
		begun := time.Now()
		cancel()
		running.Wait()
		close(network)
		receiver.Close()
		if took := time.Since(begun); took > 0 {
			t.Errorf("the end took %s", took)
		}
		for _, secret := range []string{"hunter2", "hook.test", "heart.test"} {
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("the log has %s: %s", secret, d.log.String())
			}
		}
	})
	return d
}

// after lets time pass and returns what the receiver got in it.
func (d *told) after(wait time.Duration) (all []string) {
	time.Sleep(wait)
	synctest.Wait()
	for len(d.got) > 0 {
		all = append(all, <-d.got)
	}
	return all
}

// logged is how often the log has these words.
func (d *told) logged(words string) int { return strings.Count(d.log.String(), words) }

func TestEachChangeOfTheVerdictIsOneNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := tell(t, hook, "", 200)
		for _, health := range []*checks.Snapshot{d.health.Load(), undecided, unasked} {
			d.health.Store(health)
			if got := d.after(time.Minute); len(got) > 0 {
				t.Errorf("told that it is starting: %s", got)
			}
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
			got := d.after(time.Minute)
			if len(got) != 1 {
				t.Fatalf("told %q, want one notice", got)
			}
			body, is := strings.CutPrefix(got[0], "POST /hunter2 application/json ")
			var n notice
			if err := json.Unmarshal([]byte(body), &n); !is || err != nil {
				t.Fatalf("%s, %v", got, err)
			}
			if n.Status != c.status || n.From != from || n.Text != c.text || n.Instance != "node-1" || n.Version != "1.2.3" || n.Ready != c.health.Ready {
				t.Errorf("%+v, want %s from %s: %s", n, c.status, from, c.text)
			}
			if c.health == ill && (len(n.Failing) != 1 || n.Failing[0] != failing{"bolt", "restart", "<!channel> cut"}) {
				t.Errorf("failing: %+v", n.Failing)
			}
			from = c.status
		}
		d.health.Store(unasked)
		if got := d.after(time.Minute); len(got) > 0 {
			t.Errorf("told of a check without a result: %s", got)
		}
	})
}

func TestNoticeIsTriedAgainWhereThatCanHelp(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int
		requests int
		log      string
	}{
		"busy at first":   {[]int{500, 429, 200}, 3, ""},
		"ill for ever":    {[]int{500}, 4, `tries=4 err="answered 500 Internal Server Error"`},
		"hangs":           {[]int{0}, 4, `tries=4 err="no answer within 10s"`},
		"unknown webhook": {[]int{404}, 1, `tries=1 err="answered 404 Not Found"`},
		"elsewhere":       {[]int{302}, 1, `tries=1 err="answered 302: a redirect is not followed"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := tell(t, hook, "", c.statuses...)
				d.health.Store(well)
				if got := d.after(time.Hour); len(got) != c.requests || !strings.HasPrefix(got[0], "POST /hunter2 ") {
					t.Errorf("got %q, want %d requests", got, c.requests)
				}
				if d.logged(c.log) == 0 || c.log == "" && d.log.String() != "" {
					t.Errorf("the log has %q, want %q", d.log.String(), c.log)
				}
			})
		})
	}
}

func TestWhyAReceiverIsNotReachedIsSaidWithoutItsAddress(t *testing.T) {
	addr := fmt.Sprint("127.0.0.1:", harness.Port(t))
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	mute := harness.Serve(t, harness.Silent)
	odd := harness.Serve(t, func(c net.Conn) { io.WriteString(c, "hunter2 hello\r\n") })
	for url, want := range map[string]string{
		"http://" + addr + "/hunter2":                    "connection refused",
		secure.URL + "/hunter2":                          "its certificate is not trusted, or of another host",
		"http://" + mute.String() + "/hunter2":           "no answer within 200ms",
		"http://" + odd.String() + "/hunter2":            "it does not speak HTTP as expected",
		"http://hunter2.invalid/":                        "the name of its host cannot be resolved",
		"http://127.0.0.1:1/?token=hunter2":              "connection refused",
		"http://hunter2:hunter2@" + addr + "/?hunter2=1": "connection refused",
	} {
		n := New(Options{})
		if strings.Contains(want, "no answer") {
			n.client.Timeout = 200 * time.Millisecond
		}
		if err := n.request(t.Context(), http.MethodGet, url, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

func TestHungReceiverCostsOneGoroutineAndTheOldestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		d := tell(t, hook, "", 0)
		for i := range 3 * maxQueue {
			d.health.Store([]*checks.Snapshot{well, ill}[i%2])
			d.after(lookEvery) // the first is under way, and the last wait
			if waiting, dropped := len(d.queue), d.logged("a notice is dropped"); waiting != min(i, maxQueue) || dropped != max(0, i-maxQueue) {
				t.Fatalf("after %d changes %d wait, and %d are dropped: %s", i+1, waiting, dropped, d.log.String())
			}
		}
		// Run, watch and deliver; the receiver, and of the one request under way some of the client's and the receiver's
		if more := runtime.NumGoroutine() - before; more > 4+6 {
			stacks := make([]byte, 1<<16)
			t.Errorf("%d goroutines more:\n%s", more, stacks[:runtime.Stack(stacks, true)])
		}
	})
}

func TestHungReceiverOfNoticesDoesNotHoldUpHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := tell(t, hook, heart, 0)
		d.health.Store(well)
		d.after(time.Second)
		for range 5 {
			heartbeats := 0
			for _, request := range d.after(beatEvery) {
				if strings.HasPrefix(request, "GET /hunter2") {
					heartbeats++
				}
			}
			if heartbeats != 1 {
				t.Fatalf("%d heartbeats in %s, want one", heartbeats, beatEvery)
			}
		}
	})
}

func TestHeartbeatsComeWhileHealthyAndLogTheirFailureOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := tell(t, "", heart, 500, 500, 500, 200)
		if got := d.after(time.Hour); len(got) > 0 {
			t.Errorf("a heartbeat while starting: %s", got)
		}
		d.health.Store(draining) // it is healthy
		for i := range 5 {
			if got := d.after(beatEvery); len(got) != 1 || !strings.HasPrefix(got[0], "GET ") {
				t.Fatalf("got %q, want a heartbeat", got)
			}
			failed, ended := d.logged("heartbeats are not taken"), d.logged("heartbeats are taken again")
			if failed != 1 || ended != i/3 {
				t.Errorf("after %d heartbeats: logged %d and %d times: %s", i+1, failed, ended, d.log.String())
			}
		}
		d.health.Store(ill)
		if got := d.after(time.Hour); len(got) > 0 {
			t.Errorf("a heartbeat while ill: %s", got)
		}
	})
}
