package harness

import "strings"

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
