// Package dependency makes checks of other services from their URLs; the
// scheme picks the kind. It knows the protocols, nothing of probing,
// thresholds or what a failure means.
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

// kinds is what can be asked, by scheme. A new kind is a file, a line here and
// its word at config.Dependency.
var kinds = map[string]kind{
	"amqp":       {newAMQP, "AMQP"},
	"amqps":      {newAMQP, "AMQP"},
	"dns":        {newDNS, "DNS"},
	"grpc":       {newGRPC, "gRPC"},
	"grpcs":      {newGRPC, "gRPC"},
	"http":       {newHTTP, "HTTP"},
	"https":      {newHTTP, "HTTP"},
	"nats":       {newNATS, "NATS"},
	"postgres":   {newPostgres, "PostgreSQL"},
	"postgresql": {newPostgres, "PostgreSQL"},
	"redis":      {newRedis, "Redis"},
	"rediss":     {newRedis, "Redis"},
	"tcp":        {newTCP, "what was expected"},
	"tls":        {newTCP, "what was expected"},
}

// kind is one way to ask.
type kind struct {
	make     func(*target) (question, error)
	protocol string // for "it is not ..."
}

// question asks once and says in at how far it came. Its errors are a verdict,
// a warning, or what the network and the TLS library give: describe turns those
// into words, and shows nothing of any other.
type question func(ctx context.Context, at *phase) error

// Schemes are the schemes that New knows, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(kinds)) }

// New returns what asks the service at rawURL once, obeying its context in
// every phase, and its end alone: what Deadline says may pass when this process
// is given no CPU. timeout is what a run has otherwise; the addresses of a name
// share it. The function is not to be called twice at once.
//
// Its errors start with the phase that failed, and hold no password and nothing
// that the service sent. One with a method Warning() string says that the
// service is well, and what will end that. When connecting has failed more than
// failAfter times in a row, the next attempts wait up to maxBackoff, and the
// runs between say the last error again: it has a method Unasked then.
//
// New opens no connection. Its error says all that is wrong with the URL and
// its options; it repeats no values.
func New(rawURL string, timeout time.Duration, failAfter int) (func(context.Context) error, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("is no URL") // the parser's words repeat it, password and all
	}
	k, known := kinds[u.Scheme]
	if !known {
		return nil, fmt.Errorf("has an unknown scheme: there are %s", strings.Join(Schemes(), ", "))
	}
	t := newTarget(u, timeout)
	ask, err := k.make(t)
	if err := errors.Join(err, t.options.unknown(u.Scheme)); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	wait := backoff{patience: failAfter, first: timeout}
	return func(ctx context.Context) error {
		if err := wait.held(); err != nil {
			return err
		}
		var at phase
		err := describe(ask(timeless{ctx}, &at), &at, k.protocol)
		wait.note(err, at.opening())
		return err
	}, nil
}
