package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
	"accountservice/internal/store/transfer"
)

// bitPosition is one bit of a file.
type bitPosition struct {
	at  int64
	bit byte
}

// manyAccounts is how many accounts the databases of these tests have: enough for a branch page.
func manyAccounts() int {
	if long() {
		return 3000
	}
	return 400
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

// churned is an open store of n accounts on whose pages many commits were made, and its accounts.
func churned(t *testing.T, n int) (s *boltstore.Store, path string, accounts map[store.ID]string) {
	t.Helper()
	s, path = seeded(t, n)
	s.NoSyncForTest() // nothing here looks at what a loss of power leaves
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
		must(t, putName(t, s, id, accounts[id]))
	}
	putOnce(t, s, "10000", "key")
	accounts["10000"] = mustGet(t, s, "10000").Name
	return s, path, accounts
}

func mustGet(t *testing.T, s *boltstore.Store, id store.ID) store.Account {
	t.Helper()
	acc, err := s.Get(t.Context(), id)
	must(t, err)
	return acc
}

// lies returns an error if the store answers anything but the truth or ErrUnavailable.
func lies(t *testing.T, s *boltstore.Store, accounts map[store.ID]string) (err error) {
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
		if failed == nil && len(found.Accounts)+len(found.Damaged) != len(ids) {
			err = errors.Join(err, fmt.Errorf("%d of %d accounts", len(found.Accounts), len(ids)))
		}
		for _, acc := range found.Accounts {
			if acc.Name != accounts[acc.ID] {
				err = errors.Join(err, fmt.Errorf("%s is %+v", acc.ID, acc))
			}
		}
	}
	return errors.Join(err, listLies(t, s, len(accounts)))
}

// listLies returns an error if lists end well without all accounts.
func listLies(t *testing.T, from transfer.Source, want int) error {
	t.Helper()
	var lines bytes.Buffer
	err := transfer.Export(t.Context(), from, &lines, time.Minute)
	if listed := bytes.Count(lines.Bytes(), []byte("\n")); err == nil && listed != want {
		return fmt.Errorf("%d of %d accounts are listed", listed, want)
	}
	return nil
}

// walkAll is CheckRecords until the records of this many accounts, and all others, were read. Each run reads 1024.
func walkAll(t *testing.T, s *boltstore.Store, accounts int) error {
	for range accounts/1024 + 1 {
		if err := s.CheckRecords(t.Context()); err != nil {
			return err
		}
	}
	return nil
}

// branchPages are all branch pages of the accounts.
func branchPages(t *testing.T, image []byte, m boltfile.Meta) (pages []uint64) {
	t.Helper()
	snap := m.Snapshot(bytes.NewReader(image))
	buckets, err := snap.Page(m.Root)
	must(t, err)
	root, _, err := buckets.Bucket(0) // by its name the first one
	must(t, err)
	for level := []uint64{root}; len(level) > 0; level = level[1:] {
		p, err := snap.Page(level[0])
		must(t, err)
		if p.Leaf {
			continue
		}
		pages = append(pages, p.ID)
		for i := range p.Count {
			level = append(level, p.Child(i))
		}
	}
	if len(pages) == 0 {
		t.Fatal("there is no branch page")
	}
	return pages
}

// One flipped bit in a branch page leaves every page valid by itself, and can hide a part of the accounts.
func TestBitOfABranchPageHidesNoAccount(t *testing.T) {
	t.Parallel()
	s, path, accounts := churned(t, manyAccounts())
	must(t, walkAll(t, s, len(accounts)))
	must(t, lies(t, s, accounts))
	image, m := imageAt(t, path)
	var bits []bitPosition
	for _, page := range branchPages(t, image, m) {
		bits = append(bits, imageBits(image, m, page)...)
	}
	for _, b := range some(bits, 33) {
		b.flipped(t, path, func() {
			found := walkAll(t, s, len(accounts))
			if harm := lies(t, s, accounts); harm != nil {
				t.Errorf("bit %#x of byte %d of page %d does harm: %v; found: %v", b.bit, b.at%4096, b.at/4096, harm, found)
			}
		})
	}
}

func TestEachBucketThatIsGoneIsFound(t *testing.T) {
	t.Parallel()
	for i, name := range boltfile.Buckets {
		s, _, _ := churned(t, 100)
		must(t, errors.Join(s.Check(t.Context()), s.CheckRecords(t.Context())))
		must(t, s.CommitForTest(dropBucket(name)))
		if err := s.CheckRecords(t.Context()); err == nil {
			t.Errorf("the bucket %s is gone, and that is not found", name)
		}
		if i < 2 { // the accounts and our own records
			wantWords(t, s.Check(t.Context()), string(name))
		}
	}
}

// closedImage is the file of a churned store that was closed, its accounts, and its newest meta page.
func closedImage(t *testing.T, n int) (image []byte, accounts map[store.ID]string, m boltfile.Meta) {
	t.Helper()
	s, path, accounts := churned(t, n)
	storetest.Close(t, s)
	image, m = imageAt(t, path)
	return image, accounts, m
}

// imageAt is the part of the database at path that is in use, and its newest meta page.
func imageAt(t *testing.T, path string) ([]byte, boltfile.Meta) {
	t.Helper()
	image := readFile(t, path)
	m := metaAt(t, path)
	return image[:m.Size()], m
}

// imageBits are the bits of a page of the image, up to its last byte that is not 0 and 16 more.
func imageBits(image []byte, m boltfile.Meta, page uint64) (positions []bitPosition) {
	from := int64(page) * m.PageSize
	used := len(bytes.TrimRight(image[from:from+m.PageSize], "\x00"))
	for i := range min(int64(used)+16, m.PageSize) {
		for bit := range 8 {
			positions = append(positions, bitPosition{from + i, 1 << bit})
		}
	}
	return positions
}

// outcome is what became of flipped bits at a start and after.
type outcome struct {
	refused error  // by the start, or nil
	log     string // of the start
	harm    error  // an account that is not as it was, in an answer that is not ErrUnavailable
	after   error  // what verify finds in the end
}

// startFlipped opens the image with flipped bits, and if that succeeds makes writes that use the free pages.
func startFlipped(t *testing.T, image []byte, accounts map[store.ID]string, flips ...bitPosition) (o outcome) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	image = bytes.Clone(image)
	for _, b := range flips {
		image[b.at] ^= b.bit
	}
	writeFile(t, path, image)
	o.harm = exportLies(t, path, len(accounts))
	s, log, err := tryOpen(t, path, boltstore.Options{})
	if err != nil {
		if after, _ := os.ReadFile(path); !bytes.Equal(after, image) {
			o.harm = errors.Join(o.harm, errors.New("the refused file was changed"))
		}
		o.refused = err
		return o
	}
	defer storetest.Close(t, s)
	s.NoSyncForTest()
	for i := range 20 {
		id := store.ID(fmt.Sprint("new-", i))
		err := putName(t, s, id, strings.Repeat("n", 200))
		if err == nil {
			err = s.Delete(t.Context(), id, store.Preconditions{})
		}
		gaveUp := errors.Is(err, store.ErrOutcomeUnknown) && s.Failure() != nil // bbolt, as at a child that is a free page
		if err != nil && !errors.Is(err, store.ErrUnavailable) && !gaveUp {
			o.harm = errors.Join(o.harm, err)
		}
	}
	o.harm = errors.Join(o.harm, lies(t, s, accounts))
	storetest.Close(t, s)
	report, err := boltverify.Verify(t.Context(), path)
	if err == nil && !report.Intact {
		err = fmt.Errorf("%v", report.Findings)
	}
	o.log, o.after = log.String(), err
	return o
}

// exportLies returns an error if a reader of the file ends well without all accounts.
func exportLies(t *testing.T, path string, want int) error {
	t.Helper()
	r, err := boltstore.OpenReader(t.Context(), boltstore.Options{Path: path})
	if err != nil {
		return nil
	}
	defer r.Close()
	return listLies(t, r, want)
}

func TestBitOfTheListOfFreePagesCostsNoAccount(t *testing.T) {
	t.Parallel()
	image, accounts, m := closedImage(t, manyAccounts())
	list := imageBits(image, m, m.Freelist)
	for _, flips := range []int{1, 2} {
		var mended, refused, unnoticed int
		for _, b := range some(list, 30) {
			positions := []bitPosition{b}
			if flips == 2 {
				positions = append(positions, list[rand.IntN(len(list))])
			}
			switch o := startFlipped(t, image, accounts, positions...); {
			case o.harm != nil || o.refused == nil && o.after != nil:
				t.Errorf("bits %+v: %+v", positions, o)
			case o.refused != nil:
				refused++
				t.Logf("bits %+v: %v", positions, o.refused)
			case strings.Contains(o.log, "free pages is damaged"):
				mended++
			default:
				unnoticed++
			}
		}
		t.Logf("%d of %d bits flipped in each file: %d mended, %d refused, %d of no consequence", flips, len(list), mended, refused, unnoticed)
		if mended == 0 || refused > mended/10 {
			t.Errorf("too few lists were mended")
		}
	}
}

// A page that no other page contradicts can still be the wrong one.
func TestBitThatLeadsToAccountsIsNoLieAfterAStart(t *testing.T) {
	t.Parallel()
	image, accounts, m := closedImage(t, manyAccounts())
	pages := append(branchPages(t, image, m), m.Root)
	var refused, serves, harmless int
	for _, page := range pages {
		for _, b := range some(imageBits(image, m, page), 8) {
			switch o := startFlipped(t, image, accounts, b); {
			case o.harm != nil:
				t.Errorf("bit %+v: %v; after it %v; log %s", b, o.harm, o.after, o.log)
			case o.refused != nil:
				refused++
			case o.after != nil:
				serves++
			default:
				harmless++
			}
		}
	}
	t.Logf("%d refused, %d serve the rest, %d harmless or mended", refused, serves, harmless)
}

// imageStore opens a copy of the image.
func imageStore(t *testing.T, image []byte) (*boltstore.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	writeFile(t, path, image)
	return openAt(t, path), path
}
