//go:build linux

package ha

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientTimeout is far below the time that a failover takes: each write meets it with several attempts.
const clientTimeout = 400 * time.Millisecond

// caller makes the requests of one writer.
type caller struct {
	url    string
	client http.Client
	ledger *ledger
}

// reply is an answer. Its status is 0 if there was none.
type reply struct {
	status int
	body   string
	etag   string
}

func (c *caller) do(method, path, body string, header ...string) reply {
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return reply{body: err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil { // what the status says is known, and not to whom: count on nothing
		return reply{body: err.Error()}
	}
	return reply{resp.StatusCode, string(text), resp.Header.Get("ETag")}
}

// told is what an answer says of a write.
func (r reply) told() answer {
	switch {
	case r.status/100 == 2:
		return acknowledged
	case r.status == 0, strings.Contains(r.body, "outcome-unknown"), r.status == http.StatusBadGateway,
		r.status == http.StatusGatewayTimeout, r.status/100 == 5 && !strings.Contains(r.body, "/problems/"): // HAProxy's own
		return unknown
	}
	return refused
}

// kind of failure, for the report.
func (r reply) kind() string {
	if r.status == 0 {
		return "no answer"
	}
	_, problem, found := strings.Cut(r.body, `"type":"`)
	if !found {
		return fmt.Sprint(r.status)
	}
	problem, _, _ = strings.Cut(problem, `"`)
	return fmt.Sprint(r.status, " ", problem)
}

// note writes the answer into the ledger.
func (c *caller) note(name string, r reply) {
	c.ledger.note(name, r.told())
	if r.told() != acknowledged {
		c.ledger.failed(r.kind())
	}
}

// retry repeats a write until it is acknowledged or ctx ends. What is repeated is one write: only its last answer counts
// for whether it was acknowledged, and a refusal of one attempt says nothing of those before.
func (c *caller) retry(ctx context.Context, name string, attempt func() reply) bool {
	for ctx.Err() == nil {
		r := attempt()
		if r.told() == acknowledged {
			c.ledger.note(name, acknowledged)
			return true
		}
		c.ledger.failed(r.kind())
		c.ledger.note(name, unknown)
		pause(ctx, 20*time.Millisecond)
	}
	return false
}

func pause(ctx context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
}

func named(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }

// writer makes its n-th write.
type writer func(ctx context.Context, c *caller, name string)

// writers are the ways in which clients write, two of each.
var writers = map[string]writer{
	"keyed": func(ctx context.Context, c *caller, name string) {
		c.retry(ctx, name, func() reply {
			return c.do("POST", "/accounts", named(name), "Idempotency-Key", `"`+name+`"`)
		})
	},
	"unkeyed": func(_ context.Context, c *caller, name string) { // never repeated, neither here nor by the service
		c.note(name, c.do("POST", "/accounts", named(name)))
	},
	"put": func(ctx context.Context, c *caller, name string) {
		c.retry(ctx, name, func() reply { return c.do("PUT", "/accounts/"+name, named(name)) })
	},
	"create": func(ctx context.Context, c *caller, name string) {
		for ctx.Err() == nil {
			r := c.do("PUT", "/accounts/"+name, named(name), "If-None-Match", "*")
			if r.status == http.StatusPreconditionFailed { // an attempt before was done; this is no acknowledgement
				return
			}
			c.note(name, r)
			if r.told() == acknowledged {
				return
			}
			c.ledger.note(name, unknown)
			pause(ctx, 20*time.Millisecond)
		}
	},
	// Creates an account and gives it another name under If-Match. Neither is repeated: an attempt that is still on its
	// way could undo the change.
	"change": func(_ context.Context, c *caller, name string) {
		path, changed := "/accounts/"+name, name+"-changed"
		r := c.do("PUT", path, named(name), "If-None-Match", "*")
		c.note(name, r)
		if r.told() != acknowledged {
			return
		}
		r = c.do("PUT", path, named(changed), "If-Match", r.etag)
		c.note(changed, r)
		if r.told() != refused {
			c.ledger.note(name, unknown) // the first name is gone, or may be
		}
	},
}

// write lets two writers of each kind go until the returned function is called. run distinguishes their names.
func write(t *testing.T, url string, l *ledger, run string, timeout time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for kind, write := range writers {
		for w := range 2 {
			all.Go(func() {
				c := &caller{url: url, client: http.Client{Timeout: timeout, Transport: &http.Transport{}}, ledger: l}
				defer c.client.CloseIdleConnections()
				for n := 0; ctx.Err() == nil; n++ {
					write(ctx, c, fmt.Sprintf("%s-%s-%d-%d", run, kind, w, n))
					pause(ctx, 20*time.Millisecond)
				}
			})
		}
	}
	return func() { cancel(); all.Wait() }
}
