package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	meterEvery = 100 * time.Millisecond
	meterWidth = 24 // characters of the bar
)

// meter shows progress on a terminal. On any other writer it shows nothing.
type meter struct {
	w     io.Writer
	live  bool // w is a terminal
	what  string
	count int   // of what
	done  int64 // bytes of the work
	size  int64 // bytes of the whole work, 0 if not known
	begun time.Time
	shown time.Time
}

func newMeter(w io.Writer, what string, size int64) *meter {
	return &meter{w: w, live: isTerminal(w), what: what, size: size, begun: time.Now()}
}

// Write implements io.Writer for lines: it counts and shows them.
func (m *meter) Write(p []byte) (int, error) {
	m.show(m.count+bytes.Count(p, []byte{'\n'}), m.done+int64(len(p)))
	return len(p), nil
}

// show redraws the line, ten times a second at most.
func (m *meter) show(count int, bytes int64) {
	m.count, m.done = count, bytes
	now := time.Now()
	if !m.live || now.Sub(m.shown) < meterEvery {
		return
	}
	m.shown = now
	fmt.Fprint(m.w, "\r\x1b[K", m.line(now.Sub(m.begun), count, bytes))
}

func (m *meter) line(elapsed time.Duration, count int, bytes int64) string {
	rate := fmt.Sprintf("%d %s, %.0f/s", count, m.what, float64(count)/elapsed.Seconds())
	if m.size == 0 || bytes == 0 {
		return rate
	}
	done := min(float64(bytes)/float64(m.size), 1)
	left := time.Duration(float64(elapsed) * (1/done - 1)).Round(time.Second)
	full := int(done * meterWidth)
	bar := strings.Repeat("#", full) + strings.Repeat("-", meterWidth-full)
	return fmt.Sprintf("[%s] %3.0f %%  %s, %s left", bar, done*100, rate, left)
}

// elapsed is the time since the work began, for people.
func (m *meter) elapsed() time.Duration { return time.Since(m.begun).Round(time.Millisecond) }

// clear removes the line.
func (m *meter) clear() {
	if m.live && !m.shown.IsZero() {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// say clears the line and writes one that stays.
func (m *meter) say(format string, args ...any) {
	m.clear()
	fmt.Fprintf(m.w, format+"\n", args...)
}
