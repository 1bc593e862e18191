//go:build linux

package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"accountservice/tests/harness"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// refusedStarts are what a start must look at before it serves.
var refusedStarts = []startFault{
	{name: "missing, with its witness beside it", do: remove},
	{name: "missing without a witness, and store.bolt.create is never", env: neverCreate, do: removeBoth},
	{
		name: "missing with its folder",
		env:  neverCreate,
		do: func(t *testing.T, path string) {
			harness.Must(t, os.RemoveAll(filepath.Dir(path)))
			harness.Must(t, os.Mkdir(filepath.Dir(path), 0o755))
		},
	},
	{name: "empty", harm: (*dbFile).empty},
	{name: "cut to half of what it needs", harm: (*dbFile).cutInHalf},
	{name: "one byte short of what it needs", harm: func(d *dbFile) { d.cut(int64(d.newest().high)*d.size - 1) }},
	{name: "damaged in both meta pages", harm: (*dbFile).garbleMetas},
	{name: "damaged in its newest meta page, so that the last commit is missing", harm: (*dbFile).garbleNewest},
	{name: "damaged in its older meta page, so that it does not say which one it was", harm: (*dbFile).garbleOlder},
	{name: "damaged in the root page of the file", harm: (*dbFile).garbleRoot},
	{name: "damaged in the root page of the accounts", harm: (*dbFile).garbleAccounts},
	{name: "damaged in its freelist page", serves: true, harm: (*dbFile).garbleFreelist},
	{name: "damaged by one bit in its older meta page", serves: true, harm: (*dbFile).flipOlder},
	{name: "damaged by one bit in its list of free pages", serves: true, harm: (*dbFile).flipFree},
	{name: "damaged by one bit in the service's own record of its identity", serves: true, harm: (*dbFile).flipIdentity},
	{name: "damaged by one bit in its newest meta page", harm: (*dbFile).flipNewest},
	{
		name: "without its bucket of accounts",
		do: func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(accountsKey)) })
		},
	},
	{name: "text", do: content([]byte("id,name\n10000,Person_0\n"))},
	{name: "zeros, as long as it was", harm: func(d *dbFile) { d.write(0, make([]byte, d.length())) }},
	{name: "noise", do: content(bytes.Repeat([]byte{0x5A, 0xC3, 0x00, 0xFF}, 1<<14))},
	{
		name: "a folder",
		do:   func(t *testing.T, path string) { remove(t, path); harness.Must(t, os.Mkdir(path, 0o755)) },
	}, {
		name: "a FIFO",
		do:   func(t *testing.T, path string) { remove(t, path); harness.Must(t, unix.Mkfifo(path, 0o600)) },
	}, {
		name: "a link to nowhere",
		do: func(t *testing.T, path string) {
			remove(t, path)
			harness.Must(t, os.Symlink(filepath.Join(filepath.Dir(path), "nowhere"), path))
		},
	}, {
		name: "another user's, without permission",
		as:   &syscall.Credential{Uid: 65532, Gid: 65532},
		do: func(t *testing.T, path string) {
			if os.Getuid() != 0 {
				skip(t, "running the service as another user takes root")
			}
			harness.Must(t, os.Chmod(path, 0o600))
		},
	},
	{name: "on a file system that is mounted read-only", do: mountReadOnly},
	{name: "on a full file system", serves: true, do: mountFull},
	{
		name: "a bolt database without buckets",
		do: func(t *testing.T, path string) {
			remove(t, path)
			edit(t, path, func(*bbolt.Tx) error { return nil })
		},
	}, {
		name: "another program's bolt database",
		do: func(t *testing.T, path string) {
			remove(t, path)
			edit(t, path, func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("jobs"))
				return err
			})
		},
	}, {
		name:  "locked by another process",
		limit: 7 * time.Second, // store.bolt.open_timeout is 5 s
		do: func(t *testing.T, path string) {
			f, err := os.Open(path)
			harness.Must(t, err)
			t.Cleanup(func() { f.Close() })
			harness.Must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
		},
	}, {
		name:     "another intact database of this service, put there while it was stopped",
		serves:   true,
		restored: true,
		do: func(t *testing.T, path string) {
			other := anotherDatabase(t, filepath.Dir(path))
			harness.Must(t, os.Rename(other, path))
		},
	}, {
		name:     "an older copy of itself, put there while it was stopped (a backup)",
		serves:   true,
		restored: true,
		do:       putOlder,
	}, {
		name:     "an older copy of itself, with the later one beside it as accounts.db.rescued-TIME",
		serves:   true,
		restored: true,
		failing:  "records",
		do: func(t *testing.T, path string) {
			harness.Must(t, os.Rename(path, path+".rescued-20261122T175605.000Z"))
			putOlder(t, path)
		},
	}, {
		name:   "missing without a witness: a first start or a forgotten volume, which store.bolt.create=never tells apart",
		serves: true,
		first:  true,
		do:     removeBoth,
	},
	{name: "as it was left", serves: true, do: func(*testing.T, string) {}},
}

// neverCreate tells a lost volume from a first start.
var neverCreate = []string{"ACCOUNTSERVICE_STORE_BOLT_CREATE=never"}

func removeBoth(t *testing.T, path string) { t.Helper(); remove(t, path); remove(t, path+".witness") }

func remove(t *testing.T, path string) { t.Helper(); harness.Must(t, os.Remove(path)) }

// content replaces all that the file holds.
func content(b []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) { t.Helper(); harness.Must(t, os.WriteFile(path, b, 0o600)) }
}

func putOlder(t *testing.T, path string) {
	older := []byte(harness.Read(t, olderCopy()))
	harness.Must(t, os.WriteFile(path, older, 0o600))
}
