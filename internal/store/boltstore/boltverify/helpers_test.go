package boltverify_test

import (
	"encoding/binary"
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

const elementSize = 16 // in bytes, of a page's element

var must = harness.Must

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

// openAt opens the database at path until the end of the test.
func openAt(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second})
	must(t, err)
	t.Cleanup(func() { storetest.Close(t, s) })
	return s
}

// closedFiles are the files of closedFile, by their numbers of accounts.
var closedFiles = make(map[int][]byte)

// closedFile returns the path of a database with n accounts that nobody has open. It is made once for each n and then
// copied, without bbolt's reserve at its end, for speed.
func closedFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	if closedFiles[n] == nil {
		s := openAt(t, path)
		_, err := s.Seed(t.Context(), store.Fakes(n))
		must(t, err)
		storetest.Close(t, s)
		im := readDB(t, path)
		closedFiles[n] = im.b[:im.highWater*im.pageLength]
	}
	writeFile(t, path, closedFiles[n])
	return path
}

// tutorialFile makes a database of 100 accounts as the tutorial wrote it, with bbolt alone.
func tutorialFile(t *testing.T) string {
	t.Helper()
	return made(t, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(boltfile.AccountBucket)
		for i := range 100 {
			err = errors.Join(err, b.Put(fmt.Append(nil, 10000+i), fmt.Appendf(nil, `{"id":"%d","name":"Person_%d"}`, 10000+i, i)))
		}
		return err
	})
}

// made returns the path of a database that bbolt made.
func made(t *testing.T, f func(*bbolt.Tx) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, errors.Join(db.Update(f), db.Close()))
	return path
}

// verified is Verify, and the promise that it changes nothing.
func verified(t *testing.T, path string) (boltverify.Report, error) {
	t.Helper()
	before, _ := os.ReadFile(path)
	report, err := boltverify.Verify(t.Context(), path)
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("the file was changed")
	}
	return report, err
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
	b := []byte(harness.Read(t, path))
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	im := dbFile{b: b, pageLength: int64(db.Info().PageSize)}
	must(t, db.View(func(tx *bbolt.Tx) error {
		im.root = int64(tx.Bucket(boltfile.AccountBucket).Root())
		im.newest = int64(tx.ID()%2) * im.pageLength
		return nil
	}))
	im.leaf = int64(binary.NativeEndian.Uint64(im.page(im.root)[boltfile.HeaderSize+8:]))
	im.free = int64(binary.NativeEndian.Uint64(b[im.newest+boltfile.HeaderSize+32:]))
	im.highWater = int64(binary.NativeEndian.Uint64(b[im.newest+boltfile.HeaderSize+40:]))
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
