package boltstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// churn puts and deletes at random, one write at a time.
func churn(t *testing.T, s *Store, random *rand.Rand, writes int) {
	t.Helper()
	for range writes {
		id := store.ID(fmt.Sprint(10000 + random.IntN(1000)))
		var err error
		if random.IntN(3) == 0 {
			if err = s.Delete(t.Context(), id, store.Preconditions{}); errors.Is(err, store.ErrNotFound) {
				err = nil
			}
		} else {
			_, err = s.Put(t.Context(), id, store.Draft{Name: strings.Repeat("n", 1+random.IntN(200))}, store.Preconditions{})
		}
		must(t, err)
	}
}

// What Verify holds pages to beyond bbolt's own rules must be so in every file
// that bbolt writes.
func TestVerifyFindsNothingInFilesOfAnyHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 4 {
		path := filepath.Join(t.TempDir(), "accounts.db")
		for range 5 {
			s := openAt(t, path)
			s.h.db.NoSync = true // nothing here looks at what a loss of power leaves
			churn(t, s, random, 300)
			if random.IntN(2) == 0 { // to few pages, or none
				page, err := s.List(t.Context(), store.Query{Limit: 1000})
				must(t, err)
				for _, acc := range page.Accounts[:len(page.Accounts)-random.IntN(3)] {
					must(t, s.Delete(t.Context(), acc.ID, store.Preconditions{}))
				}
			}
			storetest.Close(t, s)
			if report, err := examined(path); err != nil || !report.Intact {
				t.Fatalf("%v, %v; want nothing", report.Findings, err)
			}
		}
	}
}

// contents reads all that is in the file with bbolt alone.
func contents(path string) (map[string]string, error) {
	all := make(map[string]string)
	err := guard(func() error {
		db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(db.View(func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{accountBucket, metaBucket} {
				b := tx.Bucket(name)
				if b == nil {
					return fmt.Errorf("no bucket %s", name)
				}
				err := b.ForEach(func(k, v []byte) error {
					all[string(name)+"/"+string(k)] = string(v)
					if string(b.Get(k)) != string(v) {
						return fmt.Errorf("%s is not found by its key", k)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		}), db.Close())
	})
	return all, err
}

// harm says what a flipped bit that Verify did not find does to readers, or to
// the database once it is written to.
func harm(path string, good map[string]string) error {
	got, err := contents(path)
	if err != nil {
		return err
	}
	if !maps.Equal(got, good) {
		return errors.New("contents differ")
	}
	expected := maps.Clone(good)
	err = guard(func() error {
		db, err := bbolt.Open(path, 0, &bbolt.Options{NoSync: true})
		if err != nil {
			return err
		}
		for range 2 { // the second uses pages that the first freed
			err = errors.Join(err, db.Update(func(tx *bbolt.Tx) (err error) {
				for i := range 20 {
					key, value := fmt.Sprint(10000+i*37), strings.Repeat("v", 100*i)
					expected["AccountBucket/"+key] = value
					err = errors.Join(err, tx.Bucket(accountBucket).Put([]byte(key), []byte(value)))
				}
				return err
			}))
		}
		return errors.Join(err, db.View(func(tx *bbolt.Tx) (err error) {
			for fault := range tx.Check() {
				err = errors.Join(err, fault)
			}
			return err
		}), db.Close())
	})
	if err != nil {
		return fmt.Errorf("after writes: %w", err)
	}
	if got, err = contents(path); err == nil && !maps.Equal(got, expected) {
		err = errors.New("contents differ after writes")
	}
	return err
}

// Flipped bits, one at a time, anywhere in the pages that are in use. What is
// not found must be harmless: it lies in the rest of a page, behind its last
// element. All of it happens in this process, which a memory fault would end.
func TestVerifyFindsEveryFlippedBitThatDoesHarm(t *testing.T) {
	const flips, atLeast = 300, 0.99
	s, path := seeded(t, 500)
	random := rand.New(rand.NewPCG(4, 2026))
	churn(t, s, random, 200)
	storetest.Close(t, s)
	good, err := contents(path)
	must(t, err)
	var used, free []int64 // pages
	im := readDB(t, path)
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	must(t, err)
	must(t, db.View(func(tx *bbolt.Tx) error {
		for id := int64(0); id < im.highWater; id++ {
			info, err := tx.Page(int(id))
			if err != nil {
				return err
			}
			if info.Type == "free" {
				free = append(free, id)
			} else {
				used = append(used, id)
			}
		}
		return nil
	}))
	must(t, db.Close())

	im.b = im.b[:im.highWater*im.pageLength] // without bbolt's reserve, for speed
	work := filepath.Join(t.TempDir(), "flipped.db")
	flip := func(pages []int64) (where string, report Report) {
		page, at, bit := pages[random.IntN(len(pages))], random.IntN(int(im.pageLength)), random.IntN(8)
		im.page(page)[at] ^= 1 << bit
		writeFile(t, work, im.b)
		im.page(page)[at] ^= 1 << bit
		report, err := examined(work)
		must(t, err)
		if after, err := os.ReadFile(work); err != nil || len(after) != len(im.b) || after[page*im.pageLength+int64(at)] == im.page(page)[at] {
			t.Fatalf("the file was changed, or cannot be read: %v", err)
		}
		return fmt.Sprintf("bit %d of byte %d of page %d", bit, at, page), report
	}
	var found, harmless, missed int
	for range flips {
		where, report := flip(used)
		if !report.Intact {
			found++
		} else if err := harm(work, good); err == nil {
			harmless++
		} else {
			missed++
			t.Logf("not found: %s: %v", where, err)
		}
	}
	ratio := float64(found) / float64(found+missed)
	t.Logf("%d flipped bits in %d pages: %d found, %d harmless, %d not found: %.2f %%", flips, len(used), found, harmless, missed, 100*ratio)
	if ratio < atLeast || found < flips/4 {
		t.Errorf("too few were found")
	}
	for range 20 {
		if where, report := flip(free); !report.Intact {
			t.Errorf("%s, which is free: %v", where, report.Findings)
		}
	}
}
