// Package dependency makes checks of other services from their URLs; the
// scheme picks the kind. It knows the protocols, nothing of probing,
// thresholds or what a failure means.
package dependency

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// New returns what asks the service at rawURL once, obeying its context in
// every phase. timeout bounds connecting, which a library may do beyond the
// context of a run. The function is not to be called twice at once. Its errors hold
// no password. The error of New names the schemes there are.
func New(rawURL string, timeout time.Duration) (func(context.Context) error, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("not a URL") // the parser's words repeat it, password and all
	}
	switch u.Scheme {
	case "http", "https":
		return newHTTP(u, timeout)
	}
	return nil, fmt.Errorf("unknown scheme %q; there are http and https", u.Scheme)
}
