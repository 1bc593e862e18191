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

// The usual cases are in storetest, for every store. An export has no created_at of an account that was put in place of a
// damaged one.
func TestNextImported(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	account := func(name string, version int64, created, updated time.Time) store.Account {
		return store.Account{ID: "1", Draft: store.Draft{Name: name}, Version: version, CreatedAt: created, UpdatedAt: updated}
	}
	var unknown time.Time
	now, old := at(20), account("old", 5, at(5), at(10))
	for name, c := range map[string]struct {
		old      *store.Account
		in, want store.Account
	}{
		"new, nothing known":                       {nil, account("x", 0, unknown, unknown), account("x", 1, now, now)},
		"new, updated before":                      {nil, account("x", 0, unknown, at(2)), account("x", 1, at(2), at(2))},
		"new, updated in the future":               {nil, account("x", 0, unknown, at(22)), account("x", 1, now, at(22))},
		"new, created before":                      {nil, account("x", 0, at(1), unknown), account("x", 1, at(1), now)},
		"new, created in the future":               {nil, account("x", 0, at(22), unknown), account("x", 1, at(22), at(22))},
		"new, finer than is kept, in another zone": {nil, account("x", 0, at(1).Add(999).In(time.FixedZone("", 3600)), at(2)), account("x", 1, at(1), at(2))},
		"replaced by an older one":                 {&old, account("x", 2, at(1), at(2)), account("x", 6, at(5), at(10))},
		"replaced, nothing known":                  {&old, account("x", 0, unknown, unknown), account("x", 6, at(5), now)},
	} {
		got, changed := store.NextImported(c.old, c.in, now)
		if !got.Equal(c.want) || !changed || got.UpdatedAt.Location() != time.UTC {
			t.Errorf("%s: %+v, %v; want %+v", name, got, changed, c.want)
		}
	}
}
