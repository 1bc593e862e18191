//go:build linux

package dependencies

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/tests/harness"
)

// list is all that was found, a line for each check and fault.
func (f *findings) list() string {
	var b strings.Builder
	for _, m := range misfortunes {
		for _, k := range comparedKinds {
			for _, side := range sides {
				if found := f.of[m.name+"/"+side+"/"+k.check]; found != nil {
					fmt.Fprintf(&b, "%-42s %-8s %-14s longest %5.2f total %5.2f left %v later %v opened %d back %.2f  %s\n", m.name, k.check, side,
						found.longest.Seconds(), found.total.Seconds(), found.left, found.later, found.opened, found.back.Seconds(), found.says)
				}
			}
		}
	}
	return b.String()
}

// table has two rows a fault, one for each side, over all checks.
func (f *findings) table() string {
	rows := [][]string{{"Fault", "Asked by", "Fails", "Says, for example", "Longest run", "Left at once", "Left later"}}
	for _, m := range misfortunes {
		for i, side := range sides {
			row := f.row(m, side)
			if i == 0 {
				row[0] = m.name
			}
			rows = append(rows, row)
		}
	}
	return harness.Table(rows...)
}

func (f *findings) row(m misfortune, side string) []string {
	var passed, failed []string
	var longest, back, total worst[time.Duration]
	var left, later worst[int]
	var opened worst[int32]
	for _, k := range comparedKinds {
		found := f.of[m.name+"/"+side+"/"+k.check]
		if found == nil {
			continue
		}
		if found.says == "" {
			passed = append(passed, k.check)
		} else {
			failed = append(failed, k.check)
		}
		longest.note(k.check, found.longest)
		back.note(k.check, found.back)
		total.note(k.check, found.total)
		left.note(k.check, found.left.sum())
		later.note(k.check, found.later.sum())
		opened.note(k.check, found.opened)
	}
	fails, says := fmt.Sprintf("%d of %d", len(failed), len(failed)+len(passed)), ""
	if len(passed) > 0 && !m.healthy {
		fails += ", not " + strings.Join(passed, ", ")
	}
	switch example := f.of[m.name+"/"+side+"/"+m.example]; {
	case m.healthy:
		says = fmt.Sprintf("opens %d connections in %d runs (%s)", opened.value, healthyRuns, opened.check)
	case example != nil && example.says != "":
		says = m.example + ": `" + readable(example.says) + "`"
	}
	if m.end != nil {
		says += fmt.Sprintf("; passes %.1f s after its end (%s)", back.value.Seconds(), back.check)
	}
	return []string{"", side, fails, says, fmt.Sprintf("%.2f s (%s)", longest.value.Seconds(), longest.check),
		f.count(m, side, left, false), f.count(m, side, later, true)}
}

// count is what the check that holds most has.
func (f *findings) count(m misfortune, side string, most worst[int], later bool) string {
	if most.value == 0 {
		return "nothing"
	}
	found := f.of[m.name+"/"+side+"/"+most.check]
	h := found.left
	if later {
		h = found.later
	}
	return fmt.Sprintf("%d + %d (%s)", h.connections, h.goroutines, most.check)
}

func (h held) sum() int { return h.connections + h.goroutines }

// worst is the largest value, and whose it is.
type worst[T cmp.Ordered] struct {
	value T
	check string
}

func (w *worst[T]) note(check string, value T) {
	if w.check == "" || value > w.value {
		w.value, w.check = value, check
	}
}

var addresses = regexp.MustCompile(`127\.0\.0\.1:\d+|no-such-host\.invalid:1`)

// readable is an error without what changes with each run.
func readable(said string) string {
	const most = 160
	said = strings.ReplaceAll(addresses.ReplaceAllString(strings.Join(strings.Fields(said), " "), "HOST"), "`", "'")
	if len(said) > most {
		said = said[:most] + "…"
	}
	return said
}

func writeTable(t *testing.T, table string) {
	t.Helper()
	const file, begin, end = "../../docs/health-go.md", "<!-- side by side -->\n", "<!-- /side by side -->"
	harness.PutBetween(t, file, begin, end, table)
}
