package boltstore

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"accountservice/internal/store"
)

const (
	// recentSize bounds the accounts in memory, in bytes of their JSON and as much again for the rest.
	recentSize = 4 << 20
	// recentFor is how long an account is answered from memory until its record is read again: damage of a record must
	// not be hidden from clients for longer than from the checks.
	recentFor = 2 * time.Second
	// maxChanged is how many changes of one transaction are remembered. Only a seeding has more.
	maxChanged = 2 * store.MaxMany
	// recentCost is what an account of no content takes, in bytes.
	recentCost = 512
)

// recent are the accounts that were read last. The committer removes those that it changes before it makes the change
// visible: see changing.
type recent struct {
	mu       sync.Mutex
	accounts *simplelru.LRU[store.ID, recentAccount]
	size     int

	tx      uint64                // the last that changed accounts, or is about to
	changed map[store.ID]struct{} // by it; nil is all
	era     uint64                // of transactions, in which all accounts were read
}

type recentAccount struct {
	*store.Encoded
	read time.Time
}

func newRecent() *recent {
	r := &recent{}
	r.accounts, _ = simplelru.NewLRU(recentSize/recentCost, func(_ store.ID, a recentAccount) { r.size -= a.cost() })
	return r
}

func (a recentAccount) cost() int { return recentCost + 2*len(a.JSON) }

// get returns the account if it was read lately, and the era in which it was read.
func (r *recent) get(id store.ID) (acc *store.Encoded, era uint64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, known := r.accounts.Get(id)
	if known && time.Since(a.read) > recentFor {
		r.accounts.Remove(id)
		known = false
	}
	return a.Encoded, r.era, known
}

// add keeps an account that was read in a transaction and an era. It is not kept if a later transaction may have
// changed it, or if a commit has failed since.
func (r *recent) add(acc *store.Encoded, tx, era uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, changed := r.changed[acc.Account.ID]
	if era != r.era || tx+1 < r.tx || tx < r.tx && (changed || r.changed == nil) {
		return
	}
	a := recentAccount{acc, time.Now()}
	if a.cost() > recentSize {
		return
	}
	r.accounts.Remove(acc.Account.ID)
	r.accounts.Add(acc.Account.ID, a)
	for r.size += a.cost(); r.size > recentSize; {
		r.accounts.RemoveOldest()
	}
}

// restart forgets all accounts: some may be of a commit that failed.
func (r *recent) restart(era uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.era = era
	r.accounts.Purge()
}

// changing is called by the committer before a transaction that changes these accounts becomes visible.
// From then on only a read that sees the transaction before it returns what they were.
func (r *recent) changing(tx uint64, ids []store.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tx = tx
	if len(ids) > maxChanged {
		r.changed = nil
		r.accounts.Purge()
		return
	}
	r.changed = make(map[store.ID]struct{}, len(ids))
	for _, id := range ids {
		r.changed[id] = struct{}{}
		r.accounts.Remove(id)
	}
}
