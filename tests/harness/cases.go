package harness

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Update is true if a test is to write what it would compare; read the difference before it is believed.
var Update = flag.Bool("update", false, "write what tests compare: cases, tables, expected faults")

// Cases plays each case of a file. Cases have an empty line between them: # and a name, unless the first line is that,
// lines, in Go's quotes if they do not print, and, behind a tab, what play must make of them.
func Cases(t *testing.T, file string, play func(t *testing.T, lines []string) string) {
	t.Helper()
	content := Read(t, file)
	var played []string
	for text := range strings.SplitSeq(strings.TrimSuffix(content, "\n"), "\n\n") {
		asked, want, _ := strings.Cut(text, "\n\t")
		lines := strings.Split(asked, "\n")
		name, named := strings.CutPrefix(lines[0], "# ")
		if named {
			lines = lines[1:]
		}
		t.Run(name, func(t *testing.T) {
			for i, line := range lines {
				if plain, err := strconv.Unquote(line); err == nil {
					lines[i] = plain
				}
			}
			got := strings.ReplaceAll(play(t, lines), "\n", "\n\t")
			if got != want && !*Update {
				t.Errorf("got:\n\t%s\nwant:\n\t%s", got, want)
			}
			if got != "" {
				asked += "\n\t" + got
			}
			played = append(played, asked)
		})
	}
	if *Update {
		Must(t, os.WriteFile(file, []byte(strings.Join(played, "\n\n")+"\n"), 0o644))
	}
}
