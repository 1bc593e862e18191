package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// progressEvery is how often a progress writes a line.
const progressEvery = 5 * time.Second

// progress counts the lines that a command has done, and from time to time tells a terminal.
type progress struct {
	w            io.Writer
	lines        int
	begun, shown time.Time
}

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		w = io.Discard
	}
	return &progress{w: w, begun: time.Now(), shown: time.Now()}
}

// Write implements io.Writer for lines that are done.
func (p *progress) Write(lines []byte) (int, error) {
	p.reached(p.lines + bytes.Count(lines, []byte{'\n'}))
	return len(lines), nil
}

func (p *progress) reached(lines int) {
	p.lines = lines
	if time.Since(p.shown) >= progressEvery {
		p.shown = time.Now()
		fmt.Fprintf(p.w, "%d lines in %s\n", lines, p.elapsed())
	}
}

func (p *progress) elapsed() time.Duration { return time.Since(p.begun).Round(time.Millisecond) }
