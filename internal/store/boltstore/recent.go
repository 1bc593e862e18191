package boltstore

import (
	"sync"
	"sync/atomic"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// recentSize bounds the accounts in memory, in bytes of their JSON and as much again for the rest.
	recentSize = 4 << 20
	// recentFor is how long an account is answered from memory until all that leads to its record is read again: damage
	// must not be hidden from clients for longer than from the checks.
	recentFor = 2 * time.Second
	// recentCost is what an account of no content takes, in bytes.
	recentCost = 512
)

// recent is what was read of one transaction within recentFor. It is of use while that is the one seen last.
type recent struct {
	since    time.Time
	tree     atomic.Pointer[boltfile.Tree] // of the accounts, with the branch pages read so far; nil until its first use
	accounts sync.Map                      // store.ID -> *store.Encoded
	size     atomic.Int64
}

// recently returns what was read within recentFor; after that, a new and empty recent.
func (s *state) recently() *recent {
	r := s.recent.Load()
	if r == nil || time.Since(r.since) > recentFor {
		r = &recent{since: time.Now()}
		s.recent.Store(r)
	}
	return r
}

func (r *recent) get(id store.ID) (acc *store.Encoded, known bool) {
	found, known := r.accounts.Load(id)
	if !known {
		return nil, false
	}
	return found.(*store.Encoded), true
}

func (r *recent) add(acc *store.Encoded) {
	if r.size.Add(int64(recentCost+2*len(acc.JSON))) <= recentSize {
		r.accounts.Store(acc.Account.ID, acc)
	}
}
