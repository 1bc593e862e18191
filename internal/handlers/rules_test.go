package handlers

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"accountservice/internal/store"
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
