// Package docs holds the documents to the code.
package docs

import (
	"bytes"
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
	var want bytes.Buffer
	harness.Must(t, config.Docs(&want))
	if strings.Contains(harness.Read(t, document), begin+want.String()+end) {
		return
	}
	if !*harness.Update {
		t.Fatal("the table of settings is old: run make settings")
	}
	harness.PutBetween(t, document, begin, end, want.String())
}
