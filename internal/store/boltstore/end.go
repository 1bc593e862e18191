package boltstore

import "sync"

// end is the end of a store, which comes once.
type end struct {
	once  sync.Once
	begun chan struct{} // closed when it begins
	done  chan struct{} // closed when all is closed
	err   error         // of that; to be read after done
}

func newEnd() *end { return &end{begun: make(chan struct{}), done: make(chan struct{})} }

// begin begins the end, and has finish do the rest on a goroutine of its own. A second call does nothing.
func (e *end) begin(finish func() error) {
	e.once.Do(func() {
		close(e.begun)
		go func() {
			defer close(e.done)
			e.err = finish()
		}()
	})
}
