package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// anchors returns those that GitHub makes of the headings of a document. A comment in a block of code is no heading.
func anchors(text string) map[string]bool {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	found := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found[strings.ReplaceAll(words, " ", "-")] = true
	}
	return found
}

// A link to a heading that was renamed leads to the top of a page, and nobody notices.
func TestLinksToHeadingsFindThem(t *testing.T) {
	root, err := filepath.Glob("../../*.md")
	harness.Must(t, err)
	files, err := filepath.Glob("../../docs/*.md")
	harness.Must(t, err)
	links := 0
	for _, file := range append(files, root...) {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`).FindAllStringSubmatch(harness.Read(t, file), -1) {
			links++
			target := file
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(file), link[1])
			}
			if !anchors(harness.Read(t, target))[link[2]] {
				t.Errorf("%s links to %s, which has no heading %s", file, target, link[2])
			}
		}
	}
	if links == 0 {
		t.Error("no link to a heading was found")
	}
}
