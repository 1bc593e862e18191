package handlers

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"accountservice/internal/store"
	"accountservice/tests/harness"
)

func TestEntityTagsAreReadAsRFC9110Says(t *testing.T) {
	type revisions = []store.Revision
	for value, want := range map[string]struct{ strong, all revisions }{
		`"a"`:                    {revisions{"a"}, revisions{"a"}},
		`W/"a"`:                  {nil, revisions{"a"}},
		`"a", W/"b" ,"c"`:        {revisions{"a", "c"}, revisions{"a", "b", "c"}},
		` , "a",, "b", `:         {revisions{"a", "b"}, revisions{"a", "b"}},
		`"a,b"`:                  {revisions{"a,b"}, revisions{"a,b"}},
		`""`:                     {revisions{""}, revisions{""}},
		"\"\xe9!#~\"":            {revisions{"\xe9!#~"}, revisions{"\xe9!#~"}},
		`a`:                      {},
		`"a`:                     {},
		`"a" "b"`:                {},
		`"a"b`:                   {},
		`w/"a"`:                  {},
		`W/ "a"`:                 {},
		`"a b"`:                  {},
		"\"a\x7f\"":              {},
		`*, "a"`:                 {},
		`"a", *`:                 {},
		`W/`:                     {},
		`"a"; "b"`:               {},
		strings.Repeat(`"`, 999): {},
	} {
		got, err := parseTags("If-Match", value)
		if (err != nil) != (want.all == nil) || !reflect.DeepEqual(got.strong, want.strong) || !slices.Equal(got.all, want.all) {
			t.Errorf("%q is %+v, %v; want %+v", value, got, err, want)
		}
	}
	if got, err := parseTags("If-Match", "*"); !got.any || err != nil {
		t.Errorf("* is %+v, %v", got, err)
	}
}
func TestEveryProblemThatPassesSaysWhen(t *testing.T) {
	for _, row := range problems {
		if p := row.problem; (p.Status >= 500 || p.Status == 409 || p.Status == 429) != (p.retryAfter != "") {
			t.Errorf("%v: Retry-After %q; a problem of 409, 429 or 5xx passes and has one, no other has", row.is, p.retryAfter)
		}
	}
}

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
