package handlers

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"accountservice/tests/harness"
)

// Programs decide by the type: each kind has its own, and docs/api.md names it with its status.
func TestEveryKindOfProblemHasATypeThatIsDocumented(t *testing.T) {
	text := harness.Read(t, "../../docs/api.md")
	documented := make(map[string]string) // the statuses of each type
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9, ]+) \|(.*?)\|`).FindAllStringSubmatch(text, -1) {
		for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(row[2], -1) {
			documented["/problems/"+name[1]] += row[1]
		}
	}
	for _, row := range problems {
		p := row.problem
		if !strings.Contains(documented[p.Type], strconv.Itoa(p.Status)) {
			t.Errorf("%v is %q with status %d, and docs/api.md has it with %q", row.is, p.Type, p.Status, documented[p.Type])
		}
		delete(documented, p.Type)
	}
	if len(documented) > 0 {
		t.Errorf("docs/api.md has what is no type, or one that two kinds share: %v", documented)
	}
}
