package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Importable checks the accounts of one Import and returns a copy of them, sorted by id; those of one id keep their
// order. Its error is an *Invalid. A store needs the copy because the caller of Import may return early, when its ctx
// ends, and change its accounts while the store still works.
func Importable(accounts []Account) ([]Account, error) {
	if len(accounts) > MaxMany {
		return nil, &Invalid{Field: "accounts", Reason: fmt.Sprintf("must be at most %d", MaxMany)}
	}
	for i, acc := range accounts {
		if err := acc.Validate(); err != nil {
			return nil, fmt.Errorf("account %d of %d: %w", i+1, len(accounts), err)
		}
	}
	sorted := slices.Clone(accounts)
	for i := range sorted {
		sorted[i].Labels = maps.Clone(sorted[i].Labels)
	}
	slices.SortStableFunc(sorted, func(a, b Account) int { return cmp.Compare(a.ID, b.ID) })
	return sorted, nil
}

// ImportChange is what an Import does to the account of one id.
type ImportChange struct {
	Account       // to be stored, if Changed
	Replaces bool // an account, perhaps damaged, is stored under the id
	Changed  bool // false: the stored account is left alone
}

// ImportChanges returns one change for each id of in, which Importable returned, and counts each account of in. stored
// returns the account that is stored under an id, nil and false if there is none, or nil and true if it is damaged.
func ImportChanges(in []Account, now time.Time, stored func(ID) (acc *Account, damaged bool)) (all []ImportChange,
	done Imported) {
	for i, acc := range in {
		if i == 0 || acc.ID != in[i-1].ID {
			all = append(all, ImportChange{})
		}
		c := &all[len(all)-1]
		var old *Account
		if c.Changed {
			old = new(c.Account)
		} else {
			var damaged bool
			old, damaged = stored(acc.ID)
			c.Replaces = old != nil || damaged
		}
		next, changed := NextImported(old, acc, now)
		switch {
		case !changed:
			done.Unchanged++
			continue
		case old == nil && !c.Replaces:
			done.Created++
		default:
			done.Replaced++
		}
		c.Account, c.Changed = next, true
	}
	return all, done
}
