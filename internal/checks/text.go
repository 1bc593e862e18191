package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// inText is a line about the service, and then one a check.
func (d draft) inText(ready bool) []byte {
	word := "ready"
	if !ready {
		word = "not ready"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s\n", strings.TrimSpace(d.Component.Name+" "+d.Component.Version), d.Status, word)
	others, width := d.others(), 0
	for _, c := range d.checks {
		width = max(width, len(c.Name))
	}
	for name := range others {
		width = max(width, len(name))
	}
	for i, c := range d.checks {
		b.WriteString(c.line(d.results[i], d.at, width))
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		fmt.Fprintf(&b, "%-*s  %s\n", width, name, others[name])
	}
	return []byte(b.String())
}

// line is a check in one line, its name so wide.
func (c Check) line(r Result, now time.Time, width int) string {
	a := c.answer(r, now)
	run := "no run yet"
	if !r.Finished.IsZero() {
		run = fmt.Sprintf("last run %.3f ms", a.LatencyMS)
	}
	line := fmt.Sprintf("%-*s  %-8s  %-7s  for %s, %s", width, c.Name, a.Status, c.OnFailure, now.Sub(r.Since).Round(time.Second), run)
	if a.Error != "" {
		line += ": " + a.Error
	}
	if a.Warning != "" {
		line += "; warning: " + a.Warning
	}
	return line + "\n"
}

// lines is the changes of a check, newest first, one a line.
func (r Result) lines() string {
	var b strings.Builder
	for _, change := range r.Changes {
		fmt.Fprintf(&b, "%s  %s after %s %s", instant(change.At).Format(time.RFC3339), change.To,
			change.Lasted.Round(time.Millisecond), change.From)
		if change.Failures > 0 {
			fmt.Fprintf(&b, ", %d failed", change.Failures)
		}
		if change.Err != nil {
			fmt.Fprintf(&b, ": %s", change.Err)
		}
		b.WriteString("\n")
	}
	if r.LastFailure.Err != nil {
		fmt.Fprintf(&b, "%s  last failure: %s\n", instant(r.LastFailure.At).Format(time.RFC3339), r.LastFailure.Err)
	}
	return b.String()
}
