package boltverify_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
)

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
		"a tree of accounts":    {closedFile(t, 10_000), 10_000, 0},
		"the tutorial's":        {tutorialFile(t), 100, 100},
		"the tutorial's in use": {opened, 100, 99},
	} {
		report, err := verified(t, c.path)
		if err != nil || !report.Intact || len(report.Findings) != 0 || report.Accounts != c.accounts || report.Unchecked != c.without || report.Size == 0 || report.Pages < 4 {
			t.Errorf("%s: %+v, %v; want it intact with %d accounts, %d of them without checksum", name, report, err, c.accounts, c.without)
		}
	}
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
		"a page's overflow":     {func(im *dbFile) { im.page(im.leaf)[12] ^= 1 }, "need less"},
		"a page of the tree":    {func(im *dbFile) { clear(im.page(im.leaf)) }, "its header says that it is page 0"},
		"noise in a page":       {func(im *dbFile) { copy(im.page(im.leaf)[16:], strings.Repeat("\xa5", 900)) }, "its elements don't fit together"},
		"a branch":              {func(im *dbFile) { clear(im.page(im.root)) }, "its header says that it is page 0"},
		"a branch's key":        {func(im *dbFile) { im.replace(t, im.root, "10000", "0000/") }, "begins with"},
		"a child out of bounds": {func(im *dbFile) { im.page(im.root)[boltfile.HeaderSize+8+5] = 1 }, "and the database has pages 2 to"},
		"a child that is itself": {func(im *dbFile) {
			im.page(im.root)[boltfile.HeaderSize+8] = byte(im.root)
			im.page(im.root)[boltfile.HeaderSize+9] = byte(im.root >> 8)
		}, "which is in use already"},
		"a page used twice": {func(im *dbFile) {
			copy(im.page(im.root)[boltfile.HeaderSize+8:][:8], im.page(im.root)[boltfile.HeaderSize+elementSize+8:])
		}, "which is in use already"},
		"a free page's number": {func(im *dbFile) { im.page(im.free)[boltfile.HeaderSize] ^= 0x40 }, "is in use and on the list of free pages|neither in use nor free|and the database has pages"},
		"a page in use on the list of free pages": {func(im *dbFile) {
			binary.NativeEndian.PutUint64(im.page(im.free)[boltfile.HeaderSize:], uint64(im.root))
		}, "is in use and on the list of free pages"},
		"the order of free pages": {func(im *dbFile) {
			first := im.page(im.free)[boltfile.HeaderSize:]
			binary.NativeEndian.PutUint64(first, binary.NativeEndian.Uint64(first[8:]))
		}, "page 2 is neither|twice"},
		"the count of free pages": {func(im *dbFile) { im.page(im.free)[10]-- }, "is neither in use nor free"},
		"the list of free pages":  {func(im *dbFile) { clear(im.page(im.free)) }, "its list of free pages is damaged"},
		"the page of the buckets": {func(im *dbFile) {
			clear(im.page(int64(binary.NativeEndian.Uint64(im.b[im.newest+boltfile.HeaderSize+16:]))))
		}, "its header says that it is page 0"},
		"both meta pages":       {func(im *dbFile) { clear(im.b[:2*im.pageLength]) }, "not a database, or both are damaged"},
		"the first meta page":   {func(im *dbFile) { clear(im.b[:im.pageLength]) }, "meta page 0"},
		"the second meta page":  {func(im *dbFile) { clear(im.b[im.pageLength : 2*im.pageLength]) }, "meta page 1"},
		"a meta page's bit":     {func(im *dbFile) { im.b[im.newest+boltfile.HeaderSize+48] ^= 1 }, "meta page"},
		"a meta page's header":  {func(im *dbFile) { im.b[8] ^= 1 }, "meta page 0"},
		"cut to half":           {func(im *dbFile) { im.b = im.b[:im.highWater*im.pageLength/2] }, "is cut short"},
		"cut by a page":         {func(im *dbFile) { im.b = im.b[:(im.highWater-1)*im.pageLength] }, "is cut short"},
		"cut to its meta pages": {func(im *dbFile) { im.b = im.b[:2*im.pageLength] }, "is cut short"},
		"cut to nothing":        {func(im *dbFile) { im.b = nil }, "is empty"},
		"text":                  {func(im *dbFile) { im.b = []byte(strings.Repeat("hello\n", 9000)) }, "not a database"},
		"first bytes of JSON":   {func(im *dbFile) { clear(im.b[:2*im.pageLength]); copy(im.b, `{"id":"1"}`) }, "not a database, or both are damaged"},
		"zeros":                 {func(im *dbFile) { clear(im.b) }, "not a database"},
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
			if strings.Contains(fmt.Sprint(report.Findings), "another program's") {
				t.Errorf("it is taken for another program's: %v", report.Findings)
			}
		})
	}
}

func TestVerifyFindsWrongBucketsAndAnswers(t *testing.T) {
	origin := closedFile(t, 300)
	s := openAt(t, origin)
	for i := range 10 {
		_, err := s.Put(t.Context(), "1", store.Draft{Name: "x"}, store.Preconditions{Idempotency: &store.Idempotency{
			Key: fmt.Sprint(i), Answer: func(store.Written) []byte { return []byte("answer") },
		}})
		must(t, err)
	}
	storetest.Close(t, s)
	intact := must1(os.ReadFile(origin))
	answer := boltfile.AnswerKey("5")
	for name, c := range map[string]struct {
		do   func(tx *bbolt.Tx) error
		want string
	}{
		"accounts gone": {func(tx *bbolt.Tx) error { return tx.DeleteBucket(boltfile.AccountBucket) }, "AccountBucket, with the accounts, is gone"},
		"ours gone":     {func(tx *bbolt.Tx) error { return tx.DeleteBucket(boltfile.MetaBucket) }, "accountservice is gone"},
		"sentinel gone": {func(tx *bbolt.Tx) error { return tx.Bucket(boltfile.MetaBucket).Delete(boltfile.SentinelKey) }, `has no record "sentinel"`},
		"sentinel other": {func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.MetaBucket).Put(boltfile.SentinelKey, boltfile.Seal(boltfile.SentinelKey, nil))
		}, "not the text"},
		"a stranger": {func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mails")); return err }, `"mails"] are not of this service`},
		"a bucket among accounts": {func(tx *bbolt.Tx) error {
			_, err := tx.Bucket(boltfile.AccountBucket).CreateBucket([]byte("inner"))
			return err
		}, `"inner" is no record`},
		"nothing at all": {func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket(boltfile.AccountBucket), tx.DeleteBucket(boltfile.MetaBucket))
		}, "another program's"},
		"answer changed": {func(tx *bbolt.Tx) error {
			record := bytes.Clone(tx.Bucket(boltfile.AnswerBucket).Get(answer))
			record[len(record)-1] ^= 1
			return tx.Bucket(boltfile.AnswerBucket).Put(answer, record)
		}, "wrong checksum"},
		"answer too short": {func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.AnswerBucket).Put(answer, boltfile.Seal(answer, []byte("short")))
		}, "too short"},
		"answer in JSON": {func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.AnswerBucket).Put(answer, bytes.Repeat([]byte("{"), 90))
		}, "unknown format"},
		"answer gone": {func(tx *bbolt.Tx) error { return tx.Bucket(boltfile.AnswerBucket).Delete(answer) }, "answers has 9 records and answers by age 10"},
		"age of nothing": {func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.AgeBucket).Put(answer, boltfile.Seal(answer, nil))
		}, "unknown format"},
		"ages gone": {func(tx *bbolt.Tx) error { return tx.DeleteBucket(boltfile.AgeBucket) }, "answers has 10 records and answers by age 0"},
		"a bucket among answers": {func(tx *bbolt.Tx) error {
			_, err := tx.Bucket(boltfile.AnswerBucket).CreateBucket([]byte("in"))
			return err
		}, `"in" is no record`},
	} {
		path := filepath.Join(t.TempDir(), "accounts.db")
		writeFile(t, path, intact)
		db, err := bbolt.Open(path, 0, nil)
		must(t, err)
		must(t, errors.Join(db.Update(c.do), db.Close()))
		if report, err := verified(t, path); err != nil || report.Intact || !strings.Contains(fmt.Sprint(report.Findings), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, report.Findings, err, c.want)
		}
	}
	path := made(t, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mails")); return err })
	if report, err := verified(t, path); err != nil || !strings.Contains(fmt.Sprint(report.Findings), `another program's database: it has ["mails"]`) {
		t.Errorf("another program's: %v, %v", report.Findings, err)
	}
}

func TestVerifyGivesNoVerdictOfWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	locked := filepath.Join(dir, "accounts.db")
	openAt(t, locked)
	other := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(text))
		return path
	}
	const isJSON = "is no database but JSON: give an export, which has one account a line, to accountservice import"
	for path, want := range map[string]string{
		"":                         "no such file",
		filepath.Join(dir, "none"): "no such file",
		fifo:                       "is no regular file (p",
		dir:                        "is no regular file (d",
		"/dev/zero":                "is no regular file (D",
		locked:                     "a running service holds it; verify a copy",

		other("gzip", "\x1f\x8b\x08\x00"):         "is no database but gzip: decompress a backup by gunzip, or give an export to",
		other("export", `{"id":"1"}`):             isJSON,
		other("marked", "\ufeff \n"+`{"id":"1"}`): isJSON,
		other("list", "[\n"):                      isJSON,
	} {
		report, err := boltverify.Verify(t.Context(), path)
		if report.Intact || len(report.Findings) != 0 || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %+v, %v; want %q", path, report, err, want)
		}
	}
}

func TestVerifiedFileIsLockedForServicesAndNotForReaders(t *testing.T) {
	path := closedFile(t, 1)
	service, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer service.Close()
	lock := func() error { return syscall.Flock(int(service.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) } // as bbolt does
	_, err = boltverify.Salvage(t.Context(), path, func(store.Account, error) error {
		if err := lock(); !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("a service locks the file while it is read: %v", err)
		}
		_, err := boltverify.Verify(t.Context(), path)
		return err
	})
	must(t, errors.Join(err, lock()))
}
