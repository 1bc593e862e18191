// Package dependency makes checks of other services from their URLs; the scheme picks the kind.
// It owns the protocols and how often a service that refuses connections is dialled. It knows nothing of
// schedules, of what is published, or of what a failure means.
package dependency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// kinds are all schemes. A new kind is a file and a line here.
var kinds = map[string]kind{
	"amqp":       {newAMQP, "AMQP", "5672", withPath | withUser, false},
	"amqps":      {newAMQP, "AMQP", "5671", withPath | withUser, true},
	"dns":        {newDNS, "DNS", "53", withPath | withoutHost, false},
	"grpc":       {newGRPC, "gRPC", "", 0, false},
	"grpcs":      {newGRPC, "gRPC", "", 0, true},
	"http":       {newHTTP, "HTTP", "80", withPath | withUser, false},
	"https":      {newHTTP, "HTTP", "443", withPath | withUser, true},
	"nats":       {newNATS, "NATS", "4222", withUser, false},
	"postgres":   {newPostgres, "PostgreSQL", "5432", withPath | withUser, false},
	"postgresql": {newPostgres, "PostgreSQL", "5432", withPath | withUser, false},
	"redis":      {newRedis, "Redis", "6379", withPath | withUser, false},
	"rediss":     {newRedis, "Redis", "6379", withPath | withUser, true},
	"tcp":        {newTCP, "what was expected", "", 0, false},
	"tls":        {newTCP, "what was expected", "", 0, true},
}

// Asker asks one service, over a connection that it keeps between runs where the kind allows that.
type Asker struct {
	*target
	ask  question
	wait backoff
}

// New returns what asks the service at rawURL. timeout is the usual length of a run; the addresses of a name share it.
// When connecting has failed more than failAfter times in a row, the next attempts wait up to maxBackoff.
//
// New opens no connection. Its error lists every fault of the URL and its options; it repeats no values.
func New(rawURL string, timeout time.Duration, failAfter int) (*Asker, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("is no URL") // the parser's error repeats it, with the password
	}
	k, known := kinds[u.Scheme]
	if !known {
		return nil, fmt.Errorf("has an unknown scheme: there are %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	t := &target{kind: k, url: u, timeout: timeout, options: newOptions(u.RawQuery), hangUp: func() {}}
	t.checkParts()
	if k.overTLS {
		t.tls = t.tlsOptions()
	}
	ask := k.make(t)
	t.unknown(u.Scheme)
	if len(t.faults) > 0 {
		return nil, errors.New(strings.Join(t.faults, "; "))
	}
	return &Asker{t, ask, backoff{failAfter: failAfter, first: timeout}}, nil
}

// Ask asks once, and stops when ctx is done. It must not be called twice at once.
//
// Its errors start with the phase that failed, and hold no password and nothing that the service sent. An error
// with a method Warning() string means that the service is healthy and says what will end that. A run that waits to
// connect returns the last error again, with a method Skipped.
func (a *Asker) Ask(ctx context.Context) error {
	if err := a.wait.held(); err != nil {
		return err
	}
	var at phase
	err := describe(a.ask(ctx, &at), &at, a.protocol)
	a.wait.note(err, at.opening())
	return err
}

// Close ends the connection that is kept. No run may be under way, and none may follow.
func (a *Asker) Close() { a.hangUp() }
