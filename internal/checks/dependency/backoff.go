package dependency

import "time"

// maxBackoff bounds how long a service that works again may wait to be asked.
const maxBackoff = 5 * time.Second

// backoff spaces the attempts to connect to a service that refuses them: a wrong password, tried at every run,
// fills logs and locks accounts. It begins after failAfter failures, so that each failure that turns the check
// comes from an attempt.
type backoff struct {
	failAfter int
	first     time.Duration // doubled with every further failure
	failures  int
	next      time.Time
	last      error
}

// held returns the last error while no attempt is due.
func (b *backoff) held() error {
	if time.Now().Before(b.next) {
		return skipped{b.last}
	}
	return nil
}

// skipped is the error of a run that asked nothing.
type skipped struct{ error }

func (skipped) Skipped() {}

// note takes the result of a run; opening is true if the run did not come beyond opening a connection. A warning
// is a success that may end in an opening phase: tls asks nothing more.
func (b *backoff) note(err error, opening bool) {
	if err == nil || isWarning(err) || !opening {
		*b = backoff{failAfter: b.failAfter, first: b.first}
		return
	}
	b.failures++
	b.last = err
	if over := b.failures - b.failAfter; over > 0 {
		b.next = time.Now().Add(min(maxBackoff, b.first<<min(over-1, 16)))
	}
}
