package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"accountservice/internal/store"
)

func listPagesInOrder(t *testing.T, open Opener) {
	s := open.Open(t)
	ids := []store.ID{"-", ".a", "10", "100", "9", "A", "Z", "_", "a", "aa", "b", "~"} // byte order
	for _, i := range rand.Perm(len(ids)) {
		put(t, s, ids[i], "x")
	}
	for limit := 1; limit <= len(ids)+1; limit++ {
		var got []store.ID
		for _, acc := range walk(t, s, store.Query{Limit: limit}) {
			got = append(got, acc.ID)
		}
		if !slices.Equal(got, ids) {
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
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "4", store.Terms{}); err != nil { // the place to go on from
		t.Fatal(err)
	}
	put(t, s, "01", "before the place")
	rest := walk(t, s, store.Query{After: page.Next, Limit: 100})
	if len(rest) != 5 || rest[0].ID != "5" || rest[4].ID != "9" {
		t.Errorf("second page = %+v, want 5 to 9", rest)
	}
}
