package harness

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Table is one of Markdown. The first row is its head; shorter rows are filled up.
func Table(rows ...[]string) string {
	var b strings.Builder
	for i, row := range rows {
		cells := make([]string, len(rows[0]))
		for n, text := range row {
			cells[n] = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// PutBetween writes text between two marks of a file.
func PutBetween(tb testing.TB, file, begin, end, text string) {
	tb.Helper()
	head, rest, begins := strings.Cut(Read(tb, file), begin)
	_, tail, ends := strings.Cut(rest, end)
	if !begins || !ends {
		tb.Fatalf("%s has no place between %s and %s", file, begin, end)
	}
	Must(tb, os.WriteFile(file, []byte(head+begin+text+end+tail), 0o644))
}

// Median is the middle one of some numbers.
func Median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
