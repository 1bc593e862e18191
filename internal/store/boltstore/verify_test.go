package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/storetest"
)

// child is this test binary as another process, doing as childProcesses say.
func child(task string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$")
	// the race detector waits a second at the end of each process
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "BOLTSTORE_CHILD="+task, "BOLTSTORE_ARGS="+strings.Join(args, "\n"))
	return cmd
}

// childProcesses are what a child can do.
var childProcesses = map[string]func(args []string){
	"verify": func(args []string) { VerifyWorker(args[0], os.Stdin, os.Stdout) },
	"hang":   func([]string) { time.Sleep(time.Hour) },
	"find something and hang": func(args []string) {
		fmt.Println(`{"finding":{"where":"page 7","what":"is odd"}}`)
		for range 1 << 16 { // more than a pipe holds: when all is written, the finding has been read
			fmt.Println(`{"stage":"page 8"}`)
		}
		os.WriteFile(args[0], nil, 0o600)
		time.Sleep(time.Hour)
	},
	"read past the end of a file that was cut": func(args []string) {
		f, _ := os.OpenFile(args[0], os.O_RDWR, 0)
		b, _ := syscall.Mmap(int(f.Fd()), 0, 1<<16, syscall.PROT_READ, syscall.MAP_SHARED)
		f.Truncate(0)
		fmt.Println(`{"stage":"the test"}`)
		fmt.Println(b[1<<15])
	},
	"panic":               func([]string) { panic("too many pages") },
	"be killed":           func([]string) { syscall.Kill(os.Getpid(), syscall.SIGKILL) },
	"say what is no JSON": func([]string) { fmt.Println("hello") },
}

func TestChildProcess(t *testing.T) {
	if task := os.Getenv("BOLTSTORE_CHILD"); task != "" { // else this is no child, and there is nothing to do
		childProcesses[task](strings.Split(os.Getenv("BOLTSTORE_ARGS"), "\n"))
		os.Exit(0)
	}
}

// verified is Verify with a worker process, and the promise that it changes
// nothing.
func verified(t *testing.T, path string) (Report, error) {
	t.Helper()
	before, _ := os.ReadFile(path)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := Verify(ctx, path, child("verify", path))
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("the file was changed")
	}
	return report, err
}

// examined is Verify in this process: a panic or memory fault ends the tests.
func examined(path string) (Report, error) {
	report := Report{File: path}
	var last message
	examine(path, func(m message) {
		if m.Finding != nil {
			report.add(*m.Finding)
		}
		last = m
	})
	return conclude(report, last, "", nil, "")
}

// closedFile returns the path of a database with n accounts that nobody has open.
func closedFile(t *testing.T, n int) string {
	t.Helper()
	s, path := seeded(t, n)
	storetest.Close(t, s)
	return path
}

func TestVerifyOfIntactFilesFindsNothing(t *testing.T) {
	opened := tutorialFile(t)
	s := openAt(t, opened)
	_, err := s.Put(t.Context(), "10007", store.Draft{Name: "New"}, store.Preconditions{})
	must(t, err)
	storetest.Close(t, s)
	for name, c := range map[string]struct {
		path              string
		accounts, without int
	}{
		"empty":                 {closedFile(t, 0), 0, 0},
		"one page of accounts":  {closedFile(t, 10), 10, 0},
		"a tree of accounts":    {closedFile(t, 20000), 20000, 0},
		"the tutorial's":        {tutorialFile(t), 100, 100},
		"the tutorial's in use": {opened, 100, 99},
	} {
		report, err := verified(t, c.path)
		if err != nil || !report.Intact || len(report.Findings) != 0 || report.Accounts != c.accounts || report.Unchecked != c.without || report.Size == 0 || report.Pages < 4 {
			t.Errorf("%s: %+v, %v; want it intact with %d accounts, %d of them without checksum", name, report, err, c.accounts, c.without)
		}
	}
}

// dbFile is a database file in memory, to be damaged.
type dbFile struct {
	b                  []byte
	root, leaf, free   int64 // pages: the root of the accounts (a branch), its first leaf, the list of free pages
	newest, pageLength int64 // where the newest meta page is; bytes of a page
	highWater          int64 // pages
}

func readDB(t *testing.T, path string) dbFile {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	im := dbFile{b: b, pageLength: int64(db.Info().PageSize)}
	must(t, db.View(func(tx *bbolt.Tx) error {
		im.root = int64(tx.Bucket(accountBucket).Root())
		im.newest = int64(tx.ID()%2) * im.pageLength
		return nil
	}))
	im.leaf = int64(binary.NativeEndian.Uint64(im.page(im.root)[pageHeader+8:]))
	im.free = int64(binary.NativeEndian.Uint64(b[im.newest+pageHeader+32:]))
	im.highWater = int64(binary.NativeEndian.Uint64(b[im.newest+pageHeader+40:]))
	return im
}

func (im dbFile) page(id int64) []byte { return im.b[id*im.pageLength : (id+1)*im.pageLength] }

// replace exchanges a text that occurs on the page.
func (im dbFile) replace(t *testing.T, id int64, old, new string) {
	t.Helper()
	i := strings.Index(string(im.page(id)), old)
	if i < 0 {
		t.Fatalf("page %d has no %q", id, old)
	}
	copy(im.page(id)[i:], new)
}

func TestVerifyFindsEachDamage(t *testing.T) {
	intact := closedFile(t, 2000) // one branch and its leaves
	for name, c := range map[string]struct {
		do   func(im *dbFile)
		want string
	}{
		"a bit of a value":      {func(im *dbFile) { im.replace(t, im.leaf, `"Person_7"`, `"Qerson_7"`) }, `account "10007" on page`},
		"a bit of a key":        {func(im *dbFile) { im.replace(t, im.leaf, "10007", "1000w") }, `"10008" comes after "1000w"|don't fit together`},
		"a page's id":           {func(im *dbFile) { im.page(im.leaf)[0] ^= 1 }, "its header says that it is page"},
		"a page's type":         {func(im *dbFile) { im.page(im.leaf)[8] ^= 4 }, "its header says type 0x6"},
		"a page's count":        {func(im *dbFile) { im.page(im.leaf)[10]-- }, "don't fit together"},
		"a page's overflow":     {func(im *dbFile) { im.page(im.leaf)[12] ^= 1 }, "in use"},
		"a page of the tree":    {func(im *dbFile) { clear(im.page(im.leaf)) }, "its header says that it is page 0"},
		"noise in a page":       {func(im *dbFile) { copy(im.page(im.leaf)[16:], strings.Repeat("\xa5", 900)) }, "its elements don't fit together"},
		"a branch":              {func(im *dbFile) { clear(im.page(im.root)) }, "its header says that it is page 0"},
		"a branch's key":        {func(im *dbFile) { im.replace(t, im.root, "10000", "0000/") }, "begins with"},
		"a child out of bounds": {func(im *dbFile) { im.page(im.root)[pageHeader+8+5] = 1 }, "and the database has pages 2 to"},
		"a child that is itself": {func(im *dbFile) {
			im.page(im.root)[pageHeader+8] = byte(im.root)
			im.page(im.root)[pageHeader+9] = byte(im.root >> 8)
		}, "which is in use already"},
		"a page used twice": {func(im *dbFile) {
			copy(im.page(im.root)[pageHeader+8:][:8], im.page(im.root)[pageHeader+elementSize+8:])
		}, "which is in use already"},
		"a free page's number":    {func(im *dbFile) { im.page(im.free)[pageHeader] ^= 0x40 }, "is in use and on the list of free pages|neither in use nor free|and the database has pages"},
		"the count of free pages": {func(im *dbFile) { im.page(im.free)[10]-- }, "is neither in use nor free"},
		"the list of free pages":  {func(im *dbFile) { clear(im.page(im.free)) }, "its header says that it is page 0"},
		"both meta pages":         {func(im *dbFile) { clear(im.b[:2*im.pageLength]) }, "not a database, or both are damaged"},
		"the first meta page":     {func(im *dbFile) { clear(im.b[:im.pageLength]) }, "meta page 0"},
		"the second meta page":    {func(im *dbFile) { clear(im.b[im.pageLength : 2*im.pageLength]) }, "meta page 1"},
		"a meta page's bit":       {func(im *dbFile) { im.b[im.newest+pageHeader+48] ^= 1 }, "meta page"},
		"a meta page's header":    {func(im *dbFile) { im.b[8] ^= 1 }, "meta page 0"},
		"cut to half":             {func(im *dbFile) { im.b = im.b[:im.highWater*im.pageLength/2] }, "is cut short"},
		"cut by a page":           {func(im *dbFile) { im.b = im.b[:(im.highWater-1)*im.pageLength] }, "is cut short"},
		"cut to its meta pages":   {func(im *dbFile) { im.b = im.b[:2*im.pageLength] }, "is cut short"},
		"cut to nothing":          {func(im *dbFile) { im.b = nil }, "is empty"},
		"text":                    {func(im *dbFile) { im.b = []byte(strings.Repeat("hello\n", 9000)) }, "not a database"},
		"zeros":                   {func(im *dbFile) { clear(im.b) }, "not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			im := readDB(t, intact)
			c.do(&im)
			path := filepath.Join(t.TempDir(), "accounts.db")
			writeFile(t, path, im.b)
			report, err := verified(t, path)
			found := false
			for _, want := range strings.Split(c.want, "|") {
				found = found || strings.Contains(fmt.Sprint(report.Findings), want)
			}
			if err != nil || report.Intact || !found {
				t.Errorf("%d findings %.500v, %v; want %q", len(report.Findings), report.Findings, err, c.want)
			}
		})
	}
}

func TestVerifyFindsWrongBuckets(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(tx *bbolt.Tx) error
		want string
	}{
		"accounts gone":  {func(tx *bbolt.Tx) error { return tx.DeleteBucket(accountBucket) }, "AccountBucket, with the accounts, is gone"},
		"ours gone":      {func(tx *bbolt.Tx) error { return tx.DeleteBucket(metaBucket) }, "accountservice is gone"},
		"sentinel gone":  {func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(sentinelKey) }, `has no record "sentinel"`},
		"sentinel other": {func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(sentinelKey, seal(sentinelKey, nil)) }, "not the text"},
		"a stranger":     {func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mails")); return err }, `"mails"] are not of this service`},
		"a bucket among accounts": {func(tx *bbolt.Tx) error {
			_, err := tx.Bucket(accountBucket).CreateBucket([]byte("inner"))
			return err
		}, `"inner" is no record`},
		"nothing at all": {func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket(accountBucket), tx.DeleteBucket(metaBucket))
		}, "another program's"},
	} {
		path := closedFile(t, 300)
		db, err := bbolt.Open(path, 0, nil)
		must(t, err)
		must(t, errors.Join(db.Update(c.do), db.Close()))
		if report, err := verified(t, path); err != nil || report.Intact || !strings.Contains(fmt.Sprint(report.Findings), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, report.Findings, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "accounts.db")
	foreign(t, path, nil)
	if report, err := verified(t, path); err != nil || !strings.Contains(fmt.Sprint(report.Findings), `another program's database: it has ["mails"]`) {
		t.Errorf("another program's: %v, %v", report.Findings, err)
	}
}

func TestVerifyGivesNoVerdictOfWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	_, locked := seeded(t, 1)
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		fifo:                       "is not a regular file but p",
		dir:                        "is not a regular file but d",
	} {
		if report, err := Verify(t.Context(), path, child("verify", path)); report.Intact || len(report.Findings) != 0 || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %+v, %v; want %q", path, report, err, want)
		}
	}
	if report, err := verified(t, locked); report.Intact || err == nil || !strings.Contains(err.Error(), "a running service holds it; verify a copy") {
		t.Errorf("locked: %+v, %v", report, err)
	}
}

func TestVerifyKeepsServicesFromTheFile(t *testing.T) {
	path := closedFile(t, 1)
	v := verifier{}
	must(t, v.open(path))
	if s, err := Open(t.Context(), Options{Path: path, OpenTimeout: 100 * time.Millisecond}); err == nil {
		storetest.Close(t, s)
		t.Errorf("a service opened the file while it was verified")
	}
	must(t, v.file.Close())
	openAt(t, path)
}
