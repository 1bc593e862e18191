package store_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"accountservice/internal/store"
)

func TestVersionStandsStillAtItsMaximumAndTheRevisionDoesNot(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, version := range []int64{store.MaxVersion - 1, store.MaxVersion, store.MaxVersion + 1, math.MaxInt64} { // more from before there was a maximum
		for name, now := range map[string]time.Time{"later": day.Add(time.Hour), "at once": day, "with a clock set back": day.Add(-time.Hour)} {
			first := store.Account{ID: "a", Draft: store.Draft{Name: "one"}, Version: version, CreatedAt: day, UpdatedAt: day}
			seen := map[store.Revision]bool{first.Revision(): true}
			for acc := first; len(seen) < 6; {
				draft := store.Draft{Name: fmt.Sprint("name ", len(seen))}
				next, _ := store.Next(&acc, "a", draft, now)
				if len(seen) > 3 {
					next, _ = store.NextImported(&acc, store.Account{ID: "a", Draft: store.Draft{Name: draft.Name}, Version: 1, CreatedAt: now, UpdatedAt: now}, now)
				}
				if err := next.Validate(); err != nil || next.Version != store.MaxVersion || next.UpdatedAt.Before(acc.UpdatedAt) || seen[next.Revision()] {
					t.Fatalf("%d, %s, change %d: %+v after %+v, %v", version, name, len(seen), next, acc, err)
				}
				seen[next.Revision()], acc = true, next
			}
		}
	}
}

func TestUnknownTimeMatchesNoTime(t *testing.T) {
	if (store.Query{UpdatedSince: time.Unix(-1<<40, 0)}).Match(store.Account{ID: "1"}) {
		t.Errorf("an account of unknown times matches a time")
	}
}

func TestTimeStandsStillAtItsMaximum(t *testing.T) {
	end := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Microsecond)
	old := store.Account{ID: "a", Draft: store.Draft{Name: "one"}, Version: store.MaxVersion, CreatedAt: end, UpdatedAt: end}
	next, _ := store.Next(&old, "a", store.Draft{Name: "two"}, end)
	if err := next.Validate(); err != nil || next.Revision() == old.Revision() {
		t.Errorf("%+v after %+v: %v", next, old, err)
	}
}

// An export has no created_at of an account that was put in place of a damaged one.
func TestImportOfAnUnknownTimeKeepsTheOther(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	for _, c := range []struct{ created, updated, wantCreated, wantUpdated time.Time }{
		{time.Time{}, time.Time{}, now, now},
		{time.Time{}, before, before, before},
		{time.Time{}, after, now, after},
		{before, time.Time{}, before, now},
		{after, time.Time{}, after, after},
	} {
		in := store.Account{ID: "a", Draft: store.Draft{Name: "x"}, CreatedAt: c.created, UpdatedAt: c.updated}
		acc, changed := store.NextImported(nil, in, now)
		if !changed || !acc.CreatedAt.Equal(c.wantCreated) || !acc.UpdatedAt.Equal(c.wantUpdated) {
			t.Errorf("%s and %s become %s and %s, want %s and %s", c.created, c.updated, acc.CreatedAt, acc.UpdatedAt, c.wantCreated, c.wantUpdated)
		}
	}
}
