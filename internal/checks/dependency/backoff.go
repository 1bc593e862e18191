package dependency

import "time"

// maxBackoff bounds how long a service that came back may wait to be asked.
const maxBackoff = 5 * time.Second

// backoff spaces the attempts to connect to a service that refuses them: a
// wrong password, tried at every run, fills logs and locks accounts. It begins
// after as many failures as turn the check, so that each of those is a real one.
type backoff struct {
	patience int
	first    time.Duration // doubled with every further failure
	failures int
	next     time.Time
	last     error
}

// held is the last error while no attempt is due.
func (b *backoff) held() error {
	if time.Now().Before(b.next) {
		return unasked{b.last}
	}
	return nil
}

// unasked is what a run says that asked nothing.
type unasked struct{ error }

func (unasked) Unasked() {}

// note counts what came of a run; opening says that it had come no further. A
// warning is a success, which ends there where nothing is asked.
func (b *backoff) note(err error, opening bool) {
	if err == nil || isWarning(err) || !opening {
		*b = backoff{patience: b.patience, first: b.first}
		return
	}
	b.failures++
	b.last = err
	if over := b.failures - b.patience; over > 0 {
		b.next = time.Now().Add(min(maxBackoff, b.first<<min(over-1, 16)))
	}
}
