package boltstore_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// long says whether the tests do all of their work, for minutes, or as much as suits every change.
func long() bool { return os.Getenv("STORE_TEST_LONG") != "" }

var must = harness.Must

// errOf is the error of a call.
func errOf[T any](_ T, err error) error { return err }

func wantErr(t *testing.T, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	wantWords(t, err, words...)
}

// wantWords wants an error with all these words.
func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, want := range words {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// wantFiles wants n files whose names match.
func wantFiles(t *testing.T, pattern string, n int) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != n {
		t.Fatalf("%s: %q, %v; want %d files", pattern, files, err, n)
	}
	return files
}

// wantName wants the account of this id to have this name.
func wantName(t *testing.T, s *boltstore.Store, id store.ID, name string) {
	t.Helper()
	if acc, err := s.Get(t.Context(), id); err != nil || acc.Name != name {
		t.Errorf("Get = %+v, %v; want the name %s", acc, err, name)
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path, b, 0o600))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// sumOf is a sum of a file's content, or says why it cannot be read. Most files are holes, and too large to be kept in
// the memory that the race detector watches.
func sumOf(path string) string {
	sum := sha256.New()
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		_, err = io.Copy(sum, f)
	}
	return fmt.Sprintf("%x %v", sum.Sum(nil), err)
}

func openAt(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	return openWith(t, path, nil)
}

func openWith(t testing.TB, path string, now func() time.Time) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second, CheckTimeout: time.Minute, Now: now})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return s
}

// tryOpen opens the database at path as opts say, and returns its log too.
func tryOpen(t *testing.T, path string, opts boltstore.Options) (*boltstore.Store, *bytes.Buffer, error) {
	t.Helper()
	var log bytes.Buffer
	opts.Path, opts.OpenTimeout = path, cmp.Or(opts.OpenTimeout, time.Second)
	opts.CheckTimeout = cmp.Or(opts.CheckTimeout, time.Minute)
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := boltstore.Open(t.Context(), opts)
	return s, &log, err
}

// refused fails the test unless Open refuses the database with its path and these words, and leaves it as it was.
func refused(t *testing.T, path string, opts boltstore.Options, words ...string) {
	t.Helper()
	before := sumOf(path)
	s, _, err := tryOpen(t, path, opts)
	if err == nil {
		storetest.Close(t, s)
	}
	wantWords(t, err, append(words, path)...)
	if sumOf(path) != before {
		t.Errorf("the refused file was changed")
	}
}

// seeded returns an open store with n accounts, and its path.
func seeded(t *testing.T, n int) (*boltstore.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts.db")
	return seededAt(t, path, n), path
}

func seededAt(t *testing.T, path string, n int) *boltstore.Store {
	t.Helper()
	s := openAt(t, path)
	must(t, errOf(s.Seed(t.Context(), store.Fakes(n))))
	return s
}

// closed is the path of a database with n accounts that is not open.
func closed(t *testing.T, n int) string {
	t.Helper()
	s, path := seeded(t, n)
	storetest.Close(t, s)
	return path
}

// putName is a Put of a name alone.
func putName(t *testing.T, s *boltstore.Store, id store.ID, name string) error {
	return errOf(s.Put(t.Context(), id, store.Draft{Name: name}, store.Preconditions{}))
}

// putRecords puts new accounts as records, which under the race detector takes a tenth of the time of Import.
func putRecords(t testing.TB, s *boltstore.Store, accounts []store.Account) {
	t.Helper()
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
		for _, acc := range accounts {
			acc.Version, acc.CreatedAt = 1, time.Now().UTC()
			acc.UpdatedAt = acc.CreatedAt
			record, err := boltfile.EncodeAccount(acc)
			if err := errors.Join(err, tx.Bucket(boltfile.AccountBucket).Put([]byte(acc.ID), record)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// descriptors are those of this process that are of the file at path.
func descriptors(t *testing.T, path string) (fds []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, link := range links {
		fd, err := strconv.Atoi(filepath.Base(link))
		if file, _ := os.Readlink(link); err == nil && file == path {
			fds = append(fds, fd)
		}
	}
	return fds
}

// refuseWrites makes each descriptor of the file one that refuses writes with EBADF, as a broken disk refuses them.
func refuseWrites(t *testing.T, path string) {
	t.Helper()
	readOnly, err := os.Open(path)
	must(t, err)
	defer readOnly.Close()
	for _, fd := range descriptors(t, path) {
		if fd != int(readOnly.Fd()) {
			must(t, syscall.Dup3(int(readOnly.Fd()), fd, syscall.O_CLOEXEC))
		}
	}
}

// snapshotAt is the newest meta page of the database at path, and the state that it describes.
func snapshotAt(t testing.TB, path string) (boltfile.Meta, boltfile.Snapshot) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	m, err := boltfile.InspectFile(f)
	must(t, err)
	return m, m.Snapshot(f)
}

// metaAt is the newest meta page of the database at path.
func metaAt(t testing.TB, path string) boltfile.Meta {
	t.Helper()
	m, _ := snapshotAt(t, path)
	return m
}

// identityOf is which database the witness beside path knows.
func identityOf(t testing.TB, path string) string {
	t.Helper()
	text := readFile(t, path+".witness")
	_, record, _ := strings.Cut(string(text), "database: ")
	id, _, _ := strings.Cut(record, "\n")
	return id
}

// leafOf is the page of the accounts that has this key, or would have it, and the first key behind it.
func leafOf(t testing.TB, path string, key []byte) (leaf boltfile.Page, next []byte) {
	t.Helper()
	_, snap := snapshotAt(t, path)
	accounts, err := snap.Bucket(boltfile.AccountBucket)
	must(t, err)
	leaf, next, err = accounts.Leaf(key)
	must(t, err)
	return leaf, next
}

// olderMeta is where the older meta page of the database at path is, which the next commit writes, and what it has.
func olderMeta(t testing.TB, path string) (at int64, page []byte) {
	t.Helper()
	m, snap := snapshotAt(t, path)
	at, page = int64(m.TxID+1)%2*m.PageSize, make([]byte, m.PageSize)
	must(t, errOf(snap.File.ReadAt(page, at)))
	return at, page
}

// spoil overwrites bytes of a file.
func spoil(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(with, at)
	must(t, errors.Join(err, f.Close()))
}

// flip is a change of one bit of a record, or with no key of the first record.
func flip(bucket, key []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b, k := tx.Bucket(bucket), key
		if k == nil {
			k, _ = b.Cursor().First()
		}
		record := bytes.Clone(b.Get(k))
		record[len(record)-1] ^= 1
		return b.Put(k, record)
	}
}

// all returns all accounts.
func all(t *testing.T, s *boltstore.Store) (accounts []store.Account) {
	t.Helper()
	for q := (store.Query{Limit: 10_000}); ; {
		page, err := s.List(t.Context(), q)
		must(t, err)
		accounts = append(accounts, page.Accounts...)
		if q.After = page.Next; q.After == "" {
			return accounts
		}
	}
}

// await waits until f is true.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// child is this test binary as another process, doing as childProcesses say.
func child(task string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$")
	// the race detector waits a second at the end of each process
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "BOLTSTORE_CHILD="+task, "BOLTSTORE_ARGS="+strings.Join(args, "\n"))
	return cmd
}

// childProcesses are what a child can do.
var childProcesses = map[string]func(args []string){}

func TestChildProcess(t *testing.T) {
	if task := os.Getenv("BOLTSTORE_CHILD"); task != "" { // else this is no child, and there is nothing to do
		childProcesses[task](strings.Split(os.Getenv("BOLTSTORE_ARGS"), "\n"))
		os.Exit(0)
	}
}

// verified is boltverify.Verify, and the promise that it changes nothing.
func verified(t *testing.T, path string) (boltverify.Report, error) {
	t.Helper()
	before := sumOf(path)
	report, err := boltverify.Verify(t.Context(), path)
	if sumOf(path) != before {
		t.Errorf("the file was changed")
	}
	return report, err
}

// wantIntact wants a database without damage.
func wantIntact(t *testing.T, path string) {
	t.Helper()
	if report, err := verified(t, path); err != nil || !report.Intact {
		t.Errorf("the file is damaged: %.300v, %v", report.Findings, err)
	}
}

func closesIntact(t *testing.T, s *boltstore.Store, path string) {
	t.Helper()
	storetest.Close(t, s)
	wantIntact(t, path)
}
