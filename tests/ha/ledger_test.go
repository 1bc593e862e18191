//go:build linux

package ha

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// answer is what a writer was told of one write.
type answer int

const (
	unknown answer = iota // no answer, or one that does not say
	refused               // the service said that nothing was changed
	acknowledged
)

// ledger holds what all writers were told, by the name that each write gave its account. No two writes share one.
type ledger struct {
	mu       sync.Mutex
	told     map[string]answer
	failures map[string]int // what was answered to writes that were not acknowledged, and how often
	acks     int            // acknowledgements so far
	last     time.Time      // of the newest acknowledgement
	gap      time.Duration  // the longest time between two acknowledgements
}

func newLedger() *ledger { return &ledger{told: map[string]answer{}, failures: map[string]int{}} }

// note keeps the last word on a write.
func (l *ledger) note(name string, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[name] = a
	if now := time.Now(); a == acknowledged {
		if !l.last.IsZero() {
			l.gap = max(l.gap, now.Sub(l.last))
		}
		l.last = now
		l.acks++
	}
}

func (l *ledger) acknowledgements() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// awaitMore waits until this many more writes are acknowledged.
func (l *ledger) awaitMore(t *testing.T, n int) {
	t.Helper()
	before := l.acknowledgements()
	harness.Must(t, harness.Eventually(patience, func() error {
		if more := l.acknowledgements() - before; more < n {
			return fmt.Errorf("%d more writes were acknowledged, want %d", more, n)
		}
		return nil
	}))
}

// unanswered are the writes of one kind of writer that were not acknowledged.
func (l *ledger) unanswered(kind string) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, told := range l.told {
		if told != acknowledged && strings.Contains(name, "-"+kind+"-") {
			names = append(names, name)
		}
	}
	return names
}

func (l *ledger) failed(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[what]++
}

// newGap forgets the gaps so far and returns the longest.
func (l *ledger) newGap() (was time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was = max(l.gap, time.Since(l.last))
	l.gap, l.last = 0, time.Now()
	return was
}

func (l *ledger) count(a answer) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, told := range l.told {
		if told == a {
			n++
		}
	}
	return n
}

// verdict is what became of the writes.
type verdict struct {
	lost       []string // acknowledged, and not there
	duplicated []string // there more than once
	refused    []string // there, though the service said that nothing was changed
}

// judge compares what the writers were told with the names that are there, and how often.
func (l *ledger) judge(there map[string]int) (v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, told := range l.told {
		switch n := there[name]; {
		case n == 0 && told == acknowledged:
			v.lost = append(v.lost, name)
		case n > 0 && told == refused:
			v.refused = append(v.refused, name)
		case n > 1:
			v.duplicated = append(v.duplicated, name)
		}
	}
	slices.Sort(v.lost)
	return v
}

// want fails the test unless every acknowledged write is there, once, and no refused one is.
func (l *ledger) want(t *testing.T, there map[string]int) {
	t.Helper()
	v := l.judge(there)
	for what, names := range map[string][]string{"acknowledged writes are lost": v.lost, "writes were made twice": v.duplicated,
		"writes were made that were answered as refused": v.refused} {
		if len(names) > 0 {
			t.Errorf("%d %s: %q", len(names), what, names[:min(len(names), 10)])
		}
	}
}
