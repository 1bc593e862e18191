package boltstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// bitPosition is one bit of a file.
type bitPosition struct {
	at  int64
	bit byte
}

// usedBits are all bits of a page that it uses, up to the end of its last element.
func usedBits(t *testing.T, s *Store, id uint64) (bits []bitPosition) {
	t.Helper()
	page := make([]byte, s.h.pageSize)
	must(t, errOf(s.h.file.ReadAt(page, int64(id)*s.h.pageSize)))
	end := len(page)
	for end > 0 && page[end-1] == 0 {
		end--
	}
	for i := range end {
		for bit := range 8 {
			bits = append(bits, bitPosition{int64(id)*s.h.pageSize + int64(i), 1 << bit})
		}
	}
	return bits
}

// some returns n of the bits, or five times as many in a long run.
func some(bits []bitPosition, n int) []bitPosition {
	if long() {
		n *= 5
	}
	if n < len(bits) {
		rand.Shuffle(len(bits), func(i, j int) { bits[i], bits[j] = bits[j], bits[i] })
		return bits[:n]
	}
	return bits
}

// flipped flips the bit in the file while f runs.
func (b bitPosition) flipped(t *testing.T, path string, f func()) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	old := make([]byte, 1)
	must(t, errOf(file.ReadAt(old, b.at)))
	must(t, errOf(file.WriteAt([]byte{old[0] ^ b.bit}, b.at)))
	f()
	must(t, errOf(file.WriteAt(old, b.at)))
}

// flipTally counts what became of flipped bits.
type flipTally struct{ found, harmless, missed int }

func (n *flipTally) add(t *testing.T, b bitPosition, found bool, harm error) {
	t.Helper()
	switch {
	case found && harm == nil:
		n.found++
	case harm == nil:
		n.harmless++
	default:
		n.missed++
		t.Errorf("bit %#x of byte %d of page %d does harm; found: %v; %v", b.bit, b.at%4096, b.at/4096, found, harm)
	}
}

// churned is an open store of n accounts on whose pages many commits were made, and its accounts.
func churned(t *testing.T, n int) (s *Store, path string, accounts map[store.ID]string) {
	t.Helper()
	s, path = seeded(t, n)
	s.h.db.NoSync = true // nothing here looks at what a loss of power leaves
	accounts = make(map[store.ID]string)
	for i := range n {
		accounts[store.ID(fmt.Sprint(10000+i))] = fmt.Sprint("Person_", i)
	}
	for i := range 200 {
		id := store.ID(fmt.Sprint(10000 + rand.IntN(n)))
		if i%4 == 0 {
			if s.Delete(t.Context(), id, store.Preconditions{}) == nil {
				delete(accounts, id)
			}
			continue
		}
		accounts[id] = fmt.Sprint("Changed_", i)
		must(t, errOf(s.Put(t.Context(), id, store.Draft{Name: accounts[id]}, store.Preconditions{})))
	}
	putOnce(t, s, "10000", "key")
	accounts["10000"] = mustGet(t, s, "10000").Name
	return s, path, accounts
}

func mustGet(t *testing.T, s *Store, id store.ID) store.Account {
	t.Helper()
	acc, err := s.Get(t.Context(), id)
	must(t, err)
	return acc
}

// lies returns an error if the store answers anything but the truth or ErrUnavailable.
func lies(t *testing.T, s *Store, accounts map[store.ID]string) (err error) {
	all := slices.Sorted(maps.Keys(accounts))
	for i := 0; i < len(all); i += 1 + rand.IntN(len(all)/10) {
		acc, failed := s.Get(t.Context(), all[i])
		if failed == nil && acc.Name != accounts[all[i]] || failed != nil && !errors.Is(failed, store.ErrUnavailable) {
			err = errors.Join(err, fmt.Errorf("%s is %+v, %v", all[i], acc, failed))
		}
		if failed == nil {
			continue
		}
		w, failed := s.Put(t.Context(), all[i], store.Draft{Name: "x"}, store.Preconditions{})
		if !errors.Is(failed, store.ErrUnavailable) {
			err = errors.Join(err, fmt.Errorf("a write of the hidden %s: %+v, %v", all[i], w, failed))
		}
	}
	for ids := range slices.Chunk(all, 100) {
		found, failed := s.GetMany(t.Context(), ids)
		if failed == nil && len(found) != len(ids) {
			err = errors.Join(err, fmt.Errorf("%d of %d accounts", len(found), len(ids)))
		}
		for _, acc := range found {
			if acc.Name != accounts[acc.ID] {
				err = errors.Join(err, fmt.Errorf("%s is %+v", acc.ID, acc))
			}
		}
	}
	listed, q := 0, store.Query{Limit: 1000}
	for {
		page, failed := s.List(t.Context(), q)
		if failed != nil {
			return err
		}
		listed += len(page.Accounts)
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if listed != len(accounts) {
		err = errors.Join(err, fmt.Errorf("%d of %d accounts are listed", listed, len(accounts)))
	}
	return err
}

// walkAll is CheckRecords until all was read.
func walkAll(t *testing.T, s *Store) error {
	s.watch.walked = walked{key: []byte{}}
	for {
		if err := s.CheckRecords(t.Context()); err != nil {
			return err
		}
		if s.watch.walked.bucket == 0 && len(s.watch.walked.key) == 0 {
			return nil
		}
	}
}

// branchPages are all branch pages of the accounts.
func branchPages(t *testing.T, s *Store) (pages []uint64) {
	t.Helper()
	must(t, s.h.db.View(func(tx *bbolt.Tx) error {
		level := []uint64{uint64(tx.Bucket(boltfile.AccountBucket).Root())}
		for len(level) > 0 {
			p, err := s.h.snapshot(tx).Page(level[0])
			if err != nil {
				return err
			}
			if !p.Leaf {
				pages = append(pages, p.ID)
				for i := range p.Count {
					level = append(level, p.Child(i))
				}
			}
			level = level[1:]
		}
		return nil
	}))
	return pages
}

// One flipped bit in a branch page leaves every page valid by itself, and can hide a part of the accounts.
func TestBitOfABranchPageHidesNoAccount(t *testing.T) {
	s, path, accounts := churned(t, 3000)
	must(t, walkAll(t, s))
	must(t, lies(t, s, accounts))
	var bits []bitPosition
	for _, page := range branchPages(t, s) {
		bits = append(bits, usedBits(t, s, page)...)
	}
	var tally flipTally
	for _, b := range some(bits, 200) {
		b.flipped(t, path, func() { tally.add(t, b, walkAll(t, s) != nil, lies(t, s, accounts)) })
	}
	t.Logf("%d bits: %+v", len(bits), tally)
}

func TestWalkReadsEveryBucketThatRequestsNeed(t *testing.T) {
	first := func(b *bbolt.Bucket) []byte { k, _ := b.Cursor().First(); return k }
	for _, name := range [][]byte{boltfile.AccountBucket, boltfile.MetaBucket, boltfile.AnswerBucket, boltfile.AgeBucket} {
		s, _, _ := churned(t, 100)
		must(t, walkAll(t, s))
		must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { return flip(tx.Bucket(name), first(tx.Bucket(name))) }))
		if err := walkAll(t, s); err == nil {
			t.Errorf("a damaged record of the bucket %s is not found", name)
		}
		s, _, _ = churned(t, 100)
		must(t, s.update(t.Context(), nil, func(tx *bbolt.Tx) error { return tx.DeleteBucket(name) }))
		if err := walkAll(t, s); err == nil {
			t.Errorf("the bucket %s is gone, and that is not found", name)
		}
	}
}
