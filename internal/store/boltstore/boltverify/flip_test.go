package boltverify_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
)

// guard returns a panic or memory fault of bbolt as an error.
func guard(f func() error) (err error) {
	debug.SetPanicOnFault(true)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

// churn puts and deletes accounts at random, one in each commit.
func churn(t *testing.T, path string, random *rand.Rand, writes int) {
	t.Helper()
	db, err := bbolt.Open(path, 0, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType}) // nothing here looks at what a loss of power leaves
	must(t, err)
	for range writes {
		must(t, db.Update(func(tx *bbolt.Tx) error {
			acc := store.Account{ID: store.ID(fmt.Sprint(10000 + random.IntN(1000))), Draft: store.Draft{Name: strings.Repeat("n", 1+random.IntN(200))}, Version: 1}
			if random.IntN(3) == 0 {
				return tx.Bucket(boltfile.AccountBucket).Delete([]byte(acc.ID))
			}
			record, err := boltfile.EncodeAccount(acc)
			return errors.Join(err, tx.Bucket(boltfile.AccountBucket).Put([]byte(acc.ID), record))
		}))
	}
	must(t, db.Close())
}

// clearAlmost deletes all accounts but up to two.
func clearAlmost(t *testing.T, path string, random *rand.Rand) {
	t.Helper()
	db, err := bbolt.Open(path, 0, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	must(t, err)
	var keys [][]byte
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltfile.AccountBucket).ForEach(func(k, _ []byte) error { keys = append(keys, append([]byte{}, k...)); return nil })
	}))
	for _, key := range keys[:max(0, len(keys)-random.IntN(3))] {
		must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(boltfile.AccountBucket).Delete(key) }))
	}
	must(t, db.Close())
}

// What Verify holds pages to beyond bbolt's own rules must be so in every file that bbolt writes.
func TestVerifyFindsNothingInFilesOfAnyHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 4 {
		path := closedFile(t, 0)
		for range 5 {
			churn(t, path, random, 300)
			if random.IntN(2) == 0 { // to few pages, or none
				clearAlmost(t, path, random)
			}
			if report, err := verified(t, path); err != nil || !report.Intact {
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
			for _, name := range [][]byte{boltfile.AccountBucket, boltfile.MetaBucket} {
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

// harm says what a flipped bit that Verify did not find does to readers, or to the database once it is written to.
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
					err = errors.Join(err, tx.Bucket(boltfile.AccountBucket).Put([]byte(key), []byte(value)))
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

// Flipped bits, one at a time, anywhere in the pages that are in use. What is not found must be harmless: it lies in
// the rest of a page, behind its last element. All of it happens in this process, which a memory fault would end.
func TestVerifyFindsEveryFlippedBitThatDoesHarm(t *testing.T) {
	const atLeast = 0.99
	flips := 300
	if os.Getenv("STORE_TEST_LONG") != "" {
		flips = 20_000
	}
	path := closedFile(t, 500)
	random := rand.New(rand.NewPCG(4, 2026))
	churn(t, path, random, 200)
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
	flip := func(pages []int64) (where string, report boltverify.Report) {
		page, at, bit := pages[random.IntN(len(pages))], random.IntN(int(im.pageLength)), random.IntN(8)
		im.page(page)[at] ^= 1 << bit
		writeFile(t, work, im.b)
		im.page(page)[at] ^= 1 << bit
		report, err := boltverify.Verify(t.Context(), work)
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
