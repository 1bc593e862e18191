package client

import "time"

const (
	retryTimeout = 2 * time.Minute // of all tries of one request
	firstPause   = 250 * time.Millisecond
	maxPause     = 30 * time.Second // between two tries, whatever Retry-After says
)

// Retry says how it is waited before a request is sent again.
type Retry struct {
	// Stop, if not nil, ends the wait when it is closed.
	Stop <-chan struct{}
	// Retrying, if not nil, is called before each wait.
	Retrying func(cause error, wait time.Duration)
}

// until calls try until it succeeds, or its failure says that another try is of no use, or there is no more time for
// one. It returns the last failure, or nil.
func (r Retry) until(try func() *failure) *failure {
	giveUp := time.Now().Add(retryTimeout)
	for pause := firstPause; ; pause *= 2 {
		failed := try()
		if failed == nil {
			return nil
		}
		wait := min(max(pause, failed.after), maxPause)
		if !failed.again || time.Now().Add(wait).After(giveUp) {
			return failed
		}
		if r.Retrying != nil {
			r.Retrying(failed, wait)
		}
		select {
		case <-r.Stop:
			return failed
		case <-time.After(wait):
		}
	}
}
