package harness

import "strings"

// Row is a line of a Markdown table.
func Row(texts ...string) string {
	for i, text := range texts {
		texts[i] = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
	}
	return "| " + strings.Join(texts, " | ") + " |\n"
}
