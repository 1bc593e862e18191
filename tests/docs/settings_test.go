// Package docs holds the documents to the code.
package docs

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"accountservice/config"
	"accountservice/tests/harness"
)

const (
	document = "../../docs/settings.md"
	begin    = "<!-- settings -->\n"
	end      = "<!-- /settings -->"
)

func TestSettingsTableIsTheCodes(t *testing.T) {
	text := harness.Read(t, document)
	head, rest, found := strings.Cut(text, begin)
	table, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("docs/settings.md has no place for the table")
	}
	var want bytes.Buffer
	harness.Must(t, config.Docs(&want))
	if table == want.String() {
		return
	}
	if !*harness.Update {
		t.Fatal("the table of settings is old: run make settings")
	}
	harness.Must(t, os.WriteFile(document, []byte(head+begin+want.String()+end+tail), 0o644))
}
