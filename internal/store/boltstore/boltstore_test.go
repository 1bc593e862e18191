package boltstore_test

import (
	"cmp"
	"context"
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
	"accountservice/internal/store/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "accounts.db")
		return func(t *testing.T, now func() time.Time) store.Store { return openWith(t, path, now) }
	})
}

// tutorialFile makes a database as the tutorial wrote it, with bbolt alone.
func tutorialFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("AccountBucket"))
		for i := range 100 {
			servedBy := ""
			if i%2 == 1 {
				servedBy = fmt.Sprintf(`,"servedBy":"10.0.0.%d"`, i)
			}
			value := fmt.Appendf(nil, `{"id":"%d","name":"Person_%d"%s}`, 10000+i, i, servedBy)
			err = errors.Join(err, b.Put(fmt.Append(nil, 10000+i), value))
		}
		return err
	}))
	must(t, db.Close())
	return path
}

func TestTutorialFileOpensInPlace(t *testing.T) {
	t.Parallel()
	path := tutorialFile(t)
	s := openAt(t, path)
	if n, err := s.Seed(t.Context(), store.Fakes(100)); n != 0 || err != nil {
		t.Fatalf("Seed = %d, %v; a database with accounts is never seeded", n, err)
	}
	for i := range 100 {
		acc, err := s.Get(t.Context(), store.ID(fmt.Sprint(10000+i)))
		if err != nil || acc.Name != fmt.Sprint("Person_", i) || acc.Version != 1 || !acc.CreatedAt.IsZero() {
			t.Errorf("account %d = %+v, %v", i, acc, err)
		}
	}
	w, err := s.Put(t.Context(), "10007", store.Draft{Name: "New"}, store.Preconditions{})
	changed, created := w.Account, w.Created
	if err != nil || created || changed.Version != 2 || !changed.CreatedAt.IsZero() || changed.UpdatedAt.IsZero() {
		t.Errorf("Put = %+v, %v, %v; want version 2, no created_at, an updated_at", changed, created, err)
	}
	must(t, s.Check(t.Context()))
	storetest.Close(t, s)
	if got, err := openAt(t, path).Get(t.Context(), "10007"); !got.Equal(changed) || err != nil {
		t.Errorf("after reopening %+v, %v, want %+v", got, err, changed)
	}
}

func TestOpenAndReadersRefuseWhatIsNoDatabaseOfOurs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make  func(t *testing.T, path string)
		want  string
		reads string // what a reader says, if it is something else
	}{
		"empty file":    {func(t *testing.T, p string) { writeFile(t, p, nil) }, "is empty", ""},
		"text":          {func(t *testing.T, p string) { writeFile(t, p, []byte(strings.Repeat("hello\n", 9000))) }, "is not a database", ""},
		"zeros":         {func(t *testing.T, p string) { writeFile(t, p, make([]byte, 1<<16)) }, "is not a database", ""},
		"an export":     {func(t *testing.T, p string) { writeFile(t, p, []byte("{}")) }, "is no database but JSON: give an export", ""},
		"gzip":          {func(t *testing.T, p string) { writeFile(t, p, []byte("\x1f\x8b\x08")) }, "is no database but gzip: decompress a backup by gunzip", ""},
		"short text":    {func(t *testing.T, p string) { writeFile(t, p, []byte("x")) }, "is not a database", ""},
		"folder":        {func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o700)) }, "(a folder); check store.bolt.path", "is no regular file"},
		"link":          {func(t *testing.T, p string) { must(t, os.Symlink("none", p)) }, "name the file itself; check store.bolt.path", ""},
		"cut to half":   {func(t *testing.T, p string) { cut(t, p, 0.5) }, "is cut short", ""},
		"cut to a page": {func(t *testing.T, p string) { cut(t, p, 0.01) }, "is cut short", ""},
		"other program": {func(t *testing.T, p string) { foreign(t, p, nil) }, "another program's database", ""},
		"other program, no list of free pages": {func(t *testing.T, p string) {
			foreign(t, p, &bbolt.Options{NoFreelistSync: true})
		}, "another program's database", ""},
		"other program, no buckets": {func(t *testing.T, p string) {
			db, err := bbolt.Open(p, 0o600, nil)
			must(t, err)
			must(t, db.Close())
		}, "a database without buckets", "another program's database"},
		"missing folder": {func(t *testing.T, p string) {
			must(t, os.Remove(filepath.Dir(p)))
		}, "cannot create a file in its folder", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "accounts.db")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			c.make(t, path)
			opts := boltstore.Options{Path: path, OpenTimeout: 10 * time.Second} // a program that another test starts has the lock until its exec
			refused(t, path, opts, c.want)
			wantWords(t, errOf(boltstore.OpenReader(t.Context(), opts)), cmp.Or(c.reads, c.want))
		})
	}
}

func TestLostDatabaseIsNotTakenForAFirstStart(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "accounts.db"), tutorialFile(t)} {
		storetest.Close(t, openAt(t, path))
		must(t, os.Remove(path))
		refused(t, path, boltstore.Options{}, path+".witness")
		wantWords(t, errOf(boltstore.OpenReader(t.Context(), boltstore.Options{Path: path})), path+".witness")
		must(t, os.Remove(path+".witness")) // as the error said
		openAt(t, path)
	}
}

func TestSecondProcessIsToldWhoHoldsTheFile(t *testing.T) {
	_, path := seeded(t, 1)
	start := time.Now()
	refused(t, path, boltstore.Options{OpenTimeout: 200 * time.Millisecond}, "another process", "stop-first")
	if waited := time.Since(start); waited < 200*time.Millisecond {
		t.Errorf("gave up after %s, want 200ms", waited)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, errOf(boltstore.Open(ctx, boltstore.Options{Path: path, OpenTimeout: time.Hour})), context.Canceled)
}

// cut makes a good database and keeps a part of what it uses.
func cut(t *testing.T, path string, part float64) {
	t.Helper()
	s := seededAt(t, path, 5000)
	m := metaAt(t, path)
	storetest.Close(t, s)
	must(t, os.Truncate(path, max(int64(part*float64(m.Size())), 2*m.PageSize)))
}

func foreign(t *testing.T, path string, opts *bbolt.Options) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, opts)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mails")); return err }))
	must(t, db.Close())
}
