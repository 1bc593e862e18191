package boltstore

import (
	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// inAccounts is a touch of the accounts alone.
func inAccounts(read func(boltfile.Tree) error) func(boltfile.Snapshot) error {
	return func(snap boltfile.Snapshot) error {
		accounts, err := snap.Bucket(boltfile.AccountBucket)
		if err != nil {
			return err
		}
		return read(accounts)
	}
}

// touchAll is a touch of these accounts, whose ids are sorted.
func touchAll(ids []store.ID) func(boltfile.Snapshot) error {
	keys := keysOf(ids)
	return inAccounts(func(t boltfile.Tree) error { return t.Each(keys, func(_, _ []byte) bool { return true }) })
}

func keysOf(ids []store.ID) [][]byte {
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		keys[i] = []byte(id)
	}
	return keys
}
