package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// progressEvery is how often a progress writes a line.
const progressEvery = 5 * time.Second

// progress counts, and on a terminal writes from time to time how far the work is.
type progress struct {
	w     io.Writer // nil if it is no terminal
	what  string
	count int   // of what
	done  int64 // bytes of the work
	size  int64 // bytes of the whole work, 0 if not known
	begun time.Time
	said  time.Time
}

func newProgress(w io.Writer, what string, size int64) *progress {
	p := &progress{what: what, size: size, begun: time.Now(), said: time.Now()}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// Write implements io.Writer for lines: it counts them.
func (p *progress) Write(lines []byte) (int, error) {
	p.reached(p.count+bytes.Count(lines, []byte{'\n'}), p.done+int64(len(lines)))
	return len(lines), nil
}

// reached notes how far the work is.
func (p *progress) reached(count int, done int64) {
	p.count, p.done = count, done
	if p.w == nil || time.Since(p.said) < progressEvery {
		return
	}
	p.said = time.Now()
	part := ""
	if p.size > 0 {
		part = fmt.Sprintf(", %d %%", min(done*100/p.size, 100))
	}
	fmt.Fprintf(p.w, "%d %s in %s%s\n", count, p.what, p.elapsed().Round(time.Second), part)
}

// elapsed is the time since the work began.
func (p *progress) elapsed() time.Duration { return time.Since(p.begun).Round(time.Millisecond) }
