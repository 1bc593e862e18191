package config

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// testdata/environ.txt has cases with an empty line between them: # and a name, the variables, in Go's quotes if they
// do not print, and, behind a tab, all that Load says of them.
func TestFaultsOfTheEnvironment(t *testing.T) {
	const file = "testdata/environ.txt"
	content, err := os.ReadFile(file)
	harness.Must(t, err)
	var all []string
	for text := range strings.SplitSeq(strings.TrimSuffix(string(content), "\n"), "\n\n") {
		asked, want, _ := strings.Cut(text, "\n\t")
		name, variables, _ := strings.Cut(asked, "\n")
		t.Run(name, func(t *testing.T) {
			var environ []string
			for line := range strings.SplitSeq(variables, "\n") {
				if plain, err := strconv.Unquote(line); err == nil {
					line = plain
				}
				environ = append(environ, line)
			}
			_, err := Load("", environ)
			wantFaults(t, err, strings.Split(want, "\n\t")...)
			if err != nil {
				asked += "\n\t" + strings.ReplaceAll(err.Error(), "\n", "\n\t")
			}
			all = append(all, asked)
		})
	}
	if *update {
		harness.Must(t, os.WriteFile(file, []byte(strings.Join(all, "\n\n")+"\n"), 0o644))
	}
}
