// Package notify tells others by HTTP when the verdict on the service changes, and that it is alive. It knows the
// published health, and nothing of checks, stores or configuration.
//
// It holds up nothing else: it only reads what is published, its queue is bounded, and only its own goroutine waits for a
// receiver that hangs.
package notify

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"accountservice/internal/checks"
)

const (
	maxQueue    = 16                     // notices that wait for a receiver; beyond that the oldest is dropped
	lookEvery   = 250 * time.Millisecond // the published health is read; a change that lasts less can be missed
	beatEvery   = time.Minute
	answerLimit = 10 * time.Second // of one request, with its connection
)

// pauses are made before a notice is sent again.
var pauses = []time.Duration{time.Second, 5 * time.Second, 25 * time.Second}

// Options say who is told. Both URLs are secrets, and are not logged.
type Options struct {
	URL          string // gets a POST for each change; "" for none
	HeartbeatURL string // gets a GET each minute while the service is healthy; "" for none
	Instance     string // name of this instance
	Health       func() *checks.Snapshot
	Log          *slog.Logger
}

// Notifier tells others.
type Notifier struct {
	Options
	client *http.Client
	queue  chan notice
	sent   *prometheus.CounterVec
}

// New returns a Notifier that tells nobody before Run.
func New(o Options) *Notifier {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	return &Notifier{
		Options: o,
		client: &http.Client{Timeout: answerLimit, Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		queue: make(chan notice, maxQueue),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "accountservice_notices_total",
			Help: "Notices of a changed verdict and heartbeats, by what became of them.",
		}, []string{"kind", "outcome"}),
	}
}

// Register has reg show what became of the notices.
func (n *Notifier) Register(reg prometheus.Registerer) {
	for _, outcome := range []string{"delivered", "failed"} {
		n.sent.WithLabelValues("change", outcome)
		n.sent.WithLabelValues("heartbeat", outcome)
	}
	n.sent.WithLabelValues("change", "dropped")
	reg.MustRegister(n.sent)
}

// Run tells others until ctx ends. What is not sent by then is not sent.
func (n *Notifier) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if n.URL != "" {
		running.Go(func() { n.watch(ctx) })
		running.Go(func() { n.deliver(ctx) })
	}
	if n.HeartbeatURL != "" {
		running.Go(func() { n.heartbeat(ctx) })
	}
}

// watch queues a notice for each change of the verdict.
func (n *Notifier) watch(ctx context.Context) {
	last := verdict{status: starting} // also if it began before
	for waited(ctx, lookEvery) {
		health := n.Health()
		if now := verdictOf(health); now != last && now.status != starting {
			n.enqueue(newNotice(health, last, now, n.Instance))
			last = now
		}
	}
}

// enqueue drops the oldest notice if the queue is full. Only watch calls it.
func (n *Notifier) enqueue(next notice) {
	for {
		select {
		case n.queue <- next:
			return
		default:
		}
		select {
		case <-n.queue:
			n.sent.WithLabelValues("change", "dropped").Inc()
			n.Log.Warn("a notice is dropped: its receiver takes none", "see", "notify.url")
		default: // the receiver took one meanwhile
		}
	}
}

func (n *Notifier) deliver(ctx context.Context) {
	for {
		select {
		case next := <-n.queue:
			n.send(ctx, next)
		case <-ctx.Done():
			return
		}
	}
}

func (n *Notifier) send(ctx context.Context, next notice) {
	for try := 0; ; try++ {
		err := n.request(ctx, http.MethodPost, n.URL, next.body())
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			n.sent.WithLabelValues("change", "delivered").Inc()
			return
		}
		if try == len(pauses) || !again(err) {
			n.sent.WithLabelValues("change", "failed").Inc()
			n.Log.Warn("a notice was not delivered", "see", "notify.url", "tries", try+1, "err", err)
			return
		}
		if !waited(ctx, pauses[try]) {
			return
		}
	}
}

// heartbeat sends one at intervals while the service is healthy. The log has a line when they begin to fail, and when
// they are taken again.
func (n *Notifier) heartbeat(ctx context.Context) {
	failing, wait := false, time.Duration(0)
	for waited(ctx, wait) {
		if wait = lookEvery; !n.Health().Healthy {
			continue // the next one is sent as soon as it is healthy
		}
		wait = beatEvery
		err := n.request(ctx, http.MethodGet, n.HeartbeatURL, nil)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.sent.WithLabelValues("heartbeat", "failed").Inc()
		default:
			n.sent.WithLabelValues("heartbeat", "delivered").Inc()
		}
		if err != nil && !failing {
			n.Log.Warn("heartbeats are not taken", "see", "notify.heartbeat_url", "err", err)
		} else if err == nil && failing {
			n.Log.Info("heartbeats are taken again", "see", "notify.heartbeat_url")
		}
		failing = err != nil
	}
}

// waited waits for d and returns true, or returns false when ctx ends first.
func waited(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
