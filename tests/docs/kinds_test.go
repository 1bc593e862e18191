package docs

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"accountservice/internal/checks/dependency"
	"accountservice/tests/harness"
)

// Each document has every scheme in the form that its readers look for.
func TestEveryKindIsDocumented(t *testing.T) {
	for file, form := range map[string]string{
		"../../docs/dependencies.md":        "(?m)^\\|[^|]*`SCHEME://", // the first column of the table
		"../../README.md":                   "`SCHEME`",
		"../../configs/accountservice.yaml": "(?m)^ *# .*\\bSCHEME\\b[,. ]",
	} {
		text := harness.Read(t, file)
		for _, scheme := range dependency.Schemes() {
			if !regexp.MustCompile(strings.Replace(form, "SCHEME", scheme, 1)).MatchString(text) {
				t.Errorf("%s does not have the scheme %s", file, scheme)
			}
		}
	}
}

// Each URL in the table of systems can be used as it is written, but for the password and the file.
func TestURLsOfTheSystemsAreWhole(t *testing.T) {
	text := harness.Read(t, "../../docs/dependencies.md")
	_, table, _ := strings.Cut(text, "## I use X")
	table, _, _ = strings.Cut(table, "\n## ")
	urls := regexp.MustCompile("`([a-z]+://[^`]+)`").FindAllStringSubmatch(table, -1)
	if len(urls) < 30 {
		t.Errorf("the table has %d URLs", len(urls))
	}
	for _, url := range urls {
		url := strings.Replace(url[1], "ca_file=/run/secrets/ca.pem", "ca_file="+harness.NewAuthority(t).File, 1)
		if _, err := dependency.New(url, time.Second, 3); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
