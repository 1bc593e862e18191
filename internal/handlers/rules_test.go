package handlers

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
func TestStreamThatOnlyDripsRunsOutOfTime(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		spent time.Duration
		bytes int64
		want  time.Duration
	}{
		{0, 0, chunkTimeout},
		{4 * time.Second, 100, 6 * time.Second},
		{12 * time.Second, 100, -2 * time.Second},          // 9 bytes a second
		{100 * time.Second, 95 * minRate, 5 * time.Second}, // just too slow
		{100 * time.Second, 200 * minRate, chunkTimeout},   // fast enough
		{time.Second, 1000 * minRate, chunkTimeout},        // what was fast may not stand still for long
	} {
		p := pace{spent: c.spent, bytes: c.bytes}
		if got := p.deadline(now).Sub(now); got != c.want {
			t.Errorf("%d bytes in %s: %s, want %s", c.bytes, c.spent, got, c.want)
		}
	}
}
func TestEveryProblemThatPassesSaysWhen(t *testing.T) {
	for _, row := range problems {
		if p := row.problem; (p.Status >= 500 || p.Status == 409 || p.Status == 429) != (p.retryAfter != "") {
			t.Errorf("%v: Retry-After %q", row.is, p.retryAfter)
		}
	}
}
