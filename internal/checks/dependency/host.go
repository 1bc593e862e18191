package dependency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// eachHost splits a URL with several hosts, such as postgres://a,b/db, into one URL for each. For a kind that takes
// only one host it returns rawURL unchanged.
func eachHost(rawURL string) (urls []string) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest+"/", "/?#")
	login := rest[:strings.LastIndex(rest[:end], "@")+1]
	if kinds[scheme].takes&withHosts == 0 {
		return []string{rawURL}
	}
	for name := range strings.SplitSeq(rest[len(login):end], ",") {
		urls = append(urls, scheme+"://"+login+name+rest[end:])
	}
	return urls
}

// newTarget reads a URL with one host. Its error is a fault that leaves no target; all others are in target.faults.
func newTarget(rawURL string, timeout time.Duration) (*target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if _, rest, _ := strings.Cut(rawURL, "://"); strings.Contains(strings.SplitN(rest, "/", 2)[0], ",") {
			return nil, errors.New(severalHosts)
		}
		return nil, errors.New("is no URL") // the parser's error repeats it, with the password
	}
	k, known := kinds[u.Scheme]
	if !known {
		return nil, fmt.Errorf("has an unknown scheme: there are %s", strings.Join(Schemes(), ", "))
	}
	t := &target{kind: k, url: u, port: cmp.Or(u.Port(), k.usual), timeout: timeout, options: newOptions(u.RawQuery), hangUp: func() {}}
	t.checkParts()
	if k.takes&withSocket != 0 {
		t.socket = t.socketFile()
	}
	if k.overTLS {
		t.tls = t.tlsOptions()
	}
	t.ask = k.make(t)
	t.unknown(u.Scheme)
	return t, nil
}

// askHosts asks one host after the other until one is healthy, starting with the last healthy one, so that only one
// connection is kept. opening is true if a host failed before its login was done.
func (a *Asker) askHosts(ctx context.Context) (opening bool, err error) {
	order, failures := make([]int, len(a.hosts)), make([]string, len(a.hosts))
	for i := range order {
		order[i] = (a.last + i) % len(order)
	}
	warned, err := firstOf(ctx, order, a.wait.first, func(ctx context.Context, i int) (error, error) {
		var at phase
		asked := describe(a.hosts[i].ask(ctx, &at), &at, a.hosts[i].protocol)
		if asked == nil || isWarning(asked) {
			a.last, opening = i, at.opening()
			return asked, nil
		}
		opening = opening || at.opening()
		failures[i] = a.hosts[i].addr() + ": " + asked.Error()
		return nil, asked
	})
	switch {
	case err == nil:
		return opening, warned
	case len(a.hosts) == 1:
		return opening, err
	}
	return opening, errors.New(strings.Join(slices.DeleteFunc(failures, func(text string) bool { return text == "" }), "; "))
}
