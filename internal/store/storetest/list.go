package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"accountservice/internal/store"
)

func idsOf(accounts []store.Account) (ids []store.ID) {
	for _, acc := range accounts {
		ids = append(ids, acc.ID)
	}
	return ids
}

func listPagesInOrder(t *testing.T, open Opener) {
	s := open.Open(t)
	ids := []store.ID{"-", ".a", "10", "100", "9", "A", "Z", "_", "a", "aa", "b", "~"} // byte order
	for _, i := range rand.Perm(len(ids)) {
		put(t, s, ids[i], "x")
	}
	for limit := 1; limit <= len(ids)+1; limit++ {
		if got := idsOf(walk(t, s, store.Query{Limit: limit})); !slices.Equal(got, ids) {
			t.Errorf("in pages of %d: %q, want %q", limit, got, ids)
		}
	}
}

func listWalksPastChanges(t *testing.T, open Opener) {
	s := open.Open(t)
	for i := range 10 {
		put(t, s, store.ID(fmt.Sprint(i)), "x")
	}
	page, err := s.List(t.Context(), store.Query{Limit: 5}) // 0 to 4
	must(t, err)
	remove(t, s, "4") // the place to go on from
	put(t, s, "01", "before the place")
	rest := walk(t, s, store.Query{After: page.Next, Limit: 100})
	if len(rest) != 5 || rest[0].ID != "5" || rest[4].ID != "9" {
		t.Errorf("second page = %+v, want 5 to 9", rest)
	}
}

func listFilters(t *testing.T, open Opener) {
	c := newClock()
	s := open.OpenAt(t, c.now)
	names := []string{"Zoë", "Zoë Quinn", "zoë", "Bob", "Zo"}
	var times []time.Time
	for i := range 100 {
		draft := store.Draft{Name: names[i%len(names)]}
		if i%4 == 0 {
			draft.Email, draft.Labels = fmt.Sprintf("p%d@example.org", i%8), map[string]string{"team": fmt.Sprint(i % 3), "odd": ""}
		}
		w, err := s.Put(t.Context(), store.ID(fmt.Sprintf("%03d", i)), draft, store.Preconditions{})
		must(t, err)
		times = append(times, w.Account.UpdatedAt)
		c.advance(time.Second)
	}
	for _, f := range []struct {
		q    store.Query
		want func(i int) bool
	}{
		{store.Query{Name: "Zoë"}, func(i int) bool { return i%5 == 0 }},
		{store.Query{NamePrefix: "Zoë"}, func(i int) bool { return i%5 < 2 }},
		{store.Query{NamePrefix: "Zo"}, func(i int) bool { return i%5 < 2 || i%5 == 4 }},
		{store.Query{UpdatedSince: times[40]}, func(i int) bool { return i >= 40 }},
		{store.Query{UpdatedSince: times[40].Add(time.Nanosecond)}, func(i int) bool { return i > 40 }},
		{store.Query{After: "050", Name: "Bob", UpdatedSince: times[30]}, func(i int) bool { return i > 50 && i%5 == 3 }},
		{store.Query{Name: "nobody"}, func(int) bool { return false }},
		{store.Query{Name: "Zoe\u0308"}, func(int) bool { return false }}, // not normalized
		{store.Query{Email: "p4@example.org"}, func(i int) bool { return i%8 == 4 }},
		{store.Query{Email: "P4@example.org"}, func(int) bool { return false }},
		{store.Query{LabelKey: "team", LabelValue: "1"}, func(i int) bool { return i%4 == 0 && i%3 == 1 }},
		{store.Query{LabelKey: "team"}, func(int) bool { return false }},
		{store.Query{LabelKey: "odd"}, func(i int) bool { return i%4 == 0 }},
		{store.Query{LabelKey: "odd", Name: "Bob", Email: "p0@example.org"}, func(i int) bool { return i%8 == 0 && i%5 == 3 }},
	} {
		var want []store.ID
		for i := range 100 {
			if f.want(i) {
				want = append(want, store.ID(fmt.Sprintf("%03d", i)))
			}
		}
		for _, limit := range []int{1, 7, 100, 1000} {
			f.q.Limit = limit
			if got := idsOf(walk(t, s, f.q)); !slices.Equal(got, want) {
				t.Errorf("%+v gives %q, want %q", f.q, got, want)
			}
		}
	}
	for field, q := range map[string]store.Query{"limit": {}, "name": {Limit: 1, Name: "\x00"}, "name_prefix": {Limit: 1, NamePrefix: "\xff"},
		"email": {Limit: 1, Email: strings.Repeat("e", store.MaxEmailLength+1)}, "label": {Limit: 1, LabelKey: "a/b"}} {
		wantInvalid(t, fmt.Sprintf("List(%+v)", q), errOf(s.List(t.Context(), q)), field)
	}
}

// A walk gives each account that is there all the time exactly once, whatever comes and goes meanwhile.
func listWalksAmongWriters(t *testing.T, open Opener) {
	s := open.Open(t)
	const stay = 500
	imports(t, s, numbered(stay, "%04d-stays"), store.Imported{Created: stay})
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				id := store.ID(fmt.Sprintf("%04d-goes", rand.IntN(500)))
				s.Put(ctx, id, store.Draft{Name: "x"}, store.Preconditions{})
				s.Delete(ctx, store.ID(fmt.Sprintf("%04d-goes", rand.IntN(500))), store.Preconditions{})
			}
		})
	}
	defer writers.Wait()
	defer cancel()
	for range 5 {
		var last store.ID
		n := 0
		for _, acc := range walk(t, s, store.Query{Limit: 7}) {
			if acc.ID <= last {
				t.Fatalf("%s comes after %s", acc.ID, last)
			}
			last = acc.ID
			if strings.HasSuffix(string(acc.ID), "-stays") {
				n++
			}
		}
		if n != stay {
			t.Errorf("%d accounts that stayed were listed, want %d", n, stay)
		}
	}
}

func getManyKeepsTheOrderAsked(t *testing.T, open Opener) {
	s := open.Open(t)
	imports(t, s, numbered(1000, "%d"), store.Imported{Created: 1000})
	var ids, want []store.ID
	for _, i := range rand.Perm(1200) {
		id := store.ID(fmt.Sprint(i))
		ids = append(ids, id)
		if i < 1000 {
			want = append(want, id)
		}
	}
	found, err := s.GetMany(t.Context(), append(ids, ids[:100]...))
	must(t, err)
	for _, acc := range found.Accounts {
		if !acc.Equal(get(t, s, acc.ID)) {
			t.Errorf("%+v is another than Get gives", acc)
		}
	}
	if got := idsOf(found.Accounts); !slices.Equal(got, want) {
		t.Errorf("%d accounts, want the %d there are, in the order asked and once", len(got), len(want))
	}
	if none, err := s.GetMany(t.Context(), nil); len(none.Accounts) != 0 || err != nil {
		t.Errorf("GetMany of none = %+v, %v", none, err)
	}
	wantInvalid(t, "GetMany of too many", errOf(s.GetMany(t.Context(), make([]store.ID, store.MaxMany+1))), "ids")
}
