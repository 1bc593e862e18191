package boltstore_test

import (
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/storetest"
)

// A copy that made as many commits as the open file has the same transaction number, and mostly the same page numbers.
func TestCopyOverTheOpenFileIsFoundAndNotWrittenOn(t *testing.T) {
	t.Parallel()
	put := func(s *boltstore.Store, name string, n int) {
		for range n {
			must(t, putName(t, s, "10000", name))
		}
	}
	origin, path := seeded(t, 3000)
	put(origin, "before", 3)
	storetest.Close(t, origin)
	base := readFile(t, path)
	for name, c := range map[string]struct{ ours, theirs int }{
		"both at the same number": {4, 4}, "one behind": {4, 3}, "one ahead": {4, 5}, "before the first commit": {0, 0},
		"far behind": {20, 1}, "far ahead": {20, 40},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := imageStore(t, base)
			put(s, "ours", c.ours)
			copied, copiedPath := imageStore(t, base)
			put(copied, "theirs", c.theirs)
			storetest.Close(t, copied)
			if c.theirs == 0 { // another database of the same number of commits
				other, otherPath := seeded(t, 3000)
				put(other, "theirs", 3)
				storetest.Close(t, other)
				copiedPath = otherPath
			}
			content := readFile(t, copiedPath)
			spoil(t, path, 0, content) // as cp onto a file that is open does, but without cutting it first
			wantErr(t, errOf(s.Get(t.Context(), "10000")), store.ErrUnavailable)
			if err := s.Check(t.Context()); err == nil {
				t.Errorf("Check passes")
			}
			wantErr(t, putName(t, s, "new", "x"), store.ErrUnavailable)
		})
	}
}
