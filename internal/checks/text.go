package checks

import (
	"fmt"
	"strings"
	"time"
)

// text has a line about the service, one for each check, and one for each other reason not to be ready.
func (s *Snapshot) text(ready bool) []byte {
	word := "ready"
	if !ready {
		word = "not ready"
	}
	width := 0
	for _, c := range s.Checks {
		width = max(width, len(c.Name))
	}
	for _, r := range s.Reasons {
		width = max(width, len(r.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s\n", strings.TrimSpace(s.Component.Name+" "+s.Component.Version), s.Status, word)
	for _, c := range s.Checks {
		c.writeLine(&b, s.At, width)
	}
	for _, r := range s.Reasons {
		fmt.Fprintf(&b, "%-*s  %s\n", width, r.Name, r.Text)
	}
	return []byte(b.String())
}

func (c CheckState) writeLine(b *strings.Builder, now time.Time, width int) {
	run := "no run yet"
	if c.Finished != nil {
		run = fmt.Sprintf("last run %.3f ms", c.LatencyMS)
	}
	fmt.Fprintf(b, "%-*s  %-8s  %-7s  for %s, %s", width, c.Name, c.Status, c.OnFailure,
		now.Sub(c.Since.Time).Round(time.Second), run)
	if c.Error != "" {
		b.WriteString(": " + c.Error)
	}
	if c.Warning != "" {
		b.WriteString("; warning: " + c.Warning)
	}
	b.WriteString("\n")
}

// text has a line about the check, and one for each of its changes, newest first.
func (c CheckHistory) text(now time.Time) []byte {
	var b strings.Builder
	c.writeLine(&b, now, len(c.Name))
	for _, change := range c.Changes {
		fmt.Fprintf(&b, "%s  %s after %s %s", change.At.Format(time.RFC3339), change.To, change.Lasted, change.From)
		if change.Failures > 0 {
			fmt.Fprintf(&b, ", %d failed", change.Failures)
		}
		if change.Error != "" {
			b.WriteString(": " + change.Error)
		}
		b.WriteString("\n")
	}
	if c.LastFailure != nil {
		fmt.Fprintf(&b, "%s  last failure: %s\n", c.LastFailure.At.Format(time.RFC3339), c.LastFailure.Error)
	}
	return []byte(b.String())
}
