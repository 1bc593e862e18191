// Package docs holds the README to the code.
package docs

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"accountservice/config"
)

const (
	readme = "../../README.md"
	begin  = "<!-- settings -->\n"
	end    = "<!-- /settings -->"
)

var update = flag.Bool("update", false, "write the table of settings into the README")

func TestSettingsTableIsTheCodes(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), begin)
	table, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("the README has no place for the table")
	}
	var want bytes.Buffer
	if err := config.Docs(&want); err != nil {
		t.Fatal(err)
	}
	if table == want.String() {
		return
	}
	if !*update {
		t.Fatal("the README's table of settings is old: run make settings")
	}
	if err := os.WriteFile(readme, []byte(head+begin+want.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
