package boltverify_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
	"accountservice/tests/harness"
)

// salvaged is what Salvage reads of a file, which it must not change: names of accounts, and damaged ids.
func salvaged(t *testing.T, path string) (accounts map[store.ID]string, damaged []store.ID, report boltverify.Report) {
	t.Helper()
	accounts = make(map[store.ID]string)
	before := harness.Read(t, path)
	report, err := boltverify.Salvage(t.Context(), path, func(acc store.Account, damage error) error {
		if damage != nil {
			damaged = append(damaged, acc.ID)
			return nil
		}
		if _, twice := accounts[acc.ID]; twice {
			t.Errorf("%s is salvaged twice", acc.ID)
		}
		accounts[acc.ID] = acc.Name
		return nil
	})
	must(t, err)
	if after, err := os.ReadFile(path); err != nil || string(after) != before {
		t.Errorf("the file was changed: %v", err)
	}
	return accounts, damaged, report
}

// pagesOf are the pages of the accounts, by type.
func pagesOf(t *testing.T, path string) (branches, leaves []int64) {
	t.Helper()
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bbolt.Tx) error {
		snap := boltfile.Snapshot{File: must1(os.Open(path)), PageSize: int64(db.Info().PageSize)}
		level := []uint64{uint64(tx.Bucket(boltfile.AccountBucket).Root())}
		for ; len(level) > 0; level = level[1:] {
			p, err := snap.Page(level[0])
			must(t, err)
			if p.Leaf {
				leaves = append(leaves, int64(p.ID))
				continue
			}
			branches = append(branches, int64(p.ID))
			for i := range p.Count {
				level = append(level, p.Child(i))
			}
		}
		return nil
	}))
	return branches, leaves
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSalvageReadsAllThatIsLeft(t *testing.T) {
	const n = 10_000 // three levels of pages
	whole := closedFile(t, n)
	branches, leaves := pagesOf(t, whole)
	im := readDB(t, whole)
	onPage := func(leaf int64) int { return strings.Count(string(im.page(leaf)), `"name":"Person_`) }
	if len(branches) < 3 {
		t.Fatalf("%d branch pages", len(branches))
	}
	for name, c := range map[string]struct {
		harm         func(im dbFile)
		least, most  int
		says         string
		refusesStart bool
	}{
		"nothing":              {func(dbFile) {}, n, n, "", false},
		"a torn branch page":   {func(im dbFile) { clear(im.page(branches[1])[:512]) }, n, n, fmt.Sprint("page ", branches[1]), true},
		"a torn root":          {func(im dbFile) { clear(im.page(im.root)) }, n, n, fmt.Sprint("page ", im.root), true},
		"a torn leaf page":     {func(im dbFile) { clear(im.page(leaves[5])) }, n - onPage(leaves[5]), n - onPage(leaves[5]), fmt.Sprint("page ", leaves[5]), false},
		"both":                 {func(im dbFile) { clear(im.page(leaves[5])); clear(im.page(branches[1])) }, n - onPage(leaves[5]), n - onPage(leaves[5]), fmt.Sprint("page ", leaves[5]), true},
		"the free list":        {func(im dbFile) { clear(im.page(im.free)) }, n, n, "list of free pages", false},
		"a branch and that":    {func(im dbFile) { clear(im.page(im.free)); clear(im.page(branches[1])) }, 1, n - 1, "are not read: without the list of free pages", true},
		"the newest meta page": {func(im dbFile) { clear(im.page(im.newest / im.pageLength)) }, 0, n, "newest meta page is damaged", true},
		"both meta pages":      {func(im dbFile) { clear(im.page(0)); clear(im.page(1)) }, 0, 0, "not a database", true},
	} {
		t.Run(name, func(t *testing.T) {
			im := dbFile{b: []byte(string(im.b)), root: im.root, leaf: im.leaf, free: im.free, newest: im.newest, pageLength: im.pageLength}
			c.harm(im)
			path := filepath.Join(t.TempDir(), "accounts.db")
			writeFile(t, path, im.b)
			accounts, _, report := salvaged(t, path)
			if len(accounts) < c.least || len(accounts) > c.most {
				t.Errorf("%d accounts, want %d to %d", len(accounts), c.least, c.most)
			}
			for id, name := range accounts {
				if "Person_"+fmt.Sprint(number(id)) != name {
					t.Fatalf("%s is %s", id, name)
				}
			}
			if text := fmt.Sprint(report.Findings); report.Intact != (c.says == "") || report.Damaged != 0 || !strings.Contains(text, c.says) {
				t.Errorf("%.2000s, want %q", text, c.says)
			}
			s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
			if err == nil {
				storetest.Close(t, s)
			}
			if c.refusesStart != (err != nil) {
				t.Errorf("a start: %v", err)
			}
		})
	}
}

func number(id store.ID) (n int) { fmt.Sscan(string(id), &n); return n - 10000 }

// An account that was removed must not come back, and an older state of one neither.
func TestSalvageReadsNoFreePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.db")
	s := openAt(t, path)
	_, err := s.Seed(t.Context(), store.Fakes(10_000))
	must(t, err)
	for i := range 400 {
		must(t, s.Delete(t.Context(), store.ID(fmt.Sprint(10000+i)), store.Preconditions{}))
	}
	_, err = s.Put(t.Context(), "19000", store.Draft{Name: "changed"}, store.Preconditions{})
	must(t, err)
	must(t, s.Close(t.Context()))
	branches, _ := pagesOf(t, path)
	im := readDB(t, path)
	clear(im.page(branches[0]))
	writeFile(t, path, im.b)
	accounts, damaged, _ := salvaged(t, path)
	if _, back := accounts["10001"]; back || accounts["19000"] != "changed" || len(accounts) != 10_000-400 || len(damaged) != 0 {
		t.Errorf("%d accounts, 19000 is %q, damaged %v; a removed one is back: %v", len(accounts), accounts["19000"], damaged, back)
	}
}

func TestSalvageOfACutFileReadsWhatIsThere(t *testing.T) {
	path := closedFile(t, 10_000)
	s := openAt(t, path)
	var changed []store.Account
	for i := range 100 { // on as many pages, which are free then, for the lists of pages and of buckets
		changed = append(changed, store.Account{ID: store.ID(fmt.Sprint(10000 + 100*i)), Draft: store.Draft{Name: "changed"}})
	}
	_, err := s.Import(t.Context(), changed)
	must(t, err)
	_, err = s.Put(t.Context(), "10000", store.Draft{Name: "again"}, store.Preconditions{})
	must(t, err)
	must(t, s.Close(t.Context()))
	im := readDB(t, path)
	must(t, os.Truncate(path, im.highWater*im.pageLength*9/10))
	accounts, _, report := salvaged(t, path)
	if len(accounts) == 0 || len(accounts) == 10_000 || !strings.Contains(fmt.Sprint(report.Findings), "is cut short") {
		t.Errorf("%d accounts, %.300v", len(accounts), report.Findings)
	}
}

func TestSalvageNamesDamagedRecords(t *testing.T) {
	path := closedFile(t, 10_000)
	branches, _ := pagesOf(t, path)
	harness.DamageRecords(t, path, "10007", "19999")
	im := readDB(t, path)
	clear(im.page(branches[len(branches)-1]))
	writeFile(t, path, im.b)
	accounts, damaged, report := salvaged(t, path)
	if len(accounts) != 9_998 || fmt.Sprint(damaged) != "[10007 19999]" || report.Damaged != 2 || report.OnlyRecords() {
		t.Errorf("%d accounts, damaged %v, %d", len(accounts), damaged, report.Damaged)
	}
}

func TestSalvageEndsWithTheErrorOfItsCaller(t *testing.T) {
	path, full, calls := closedFile(t, 10_000), errors.New("full"), 0
	_, err := boltverify.Salvage(t.Context(), path, func(store.Account, error) error { calls++; return full })
	if !errors.Is(err, full) || calls > 1000 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
