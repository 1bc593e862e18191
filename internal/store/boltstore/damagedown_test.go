package boltstore_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// flipOwn damages a record of the service itself.
func flipOwn(key []byte) func(*bbolt.Tx) error { return flip(boltfile.MetaBucket, key) }

// dropBucket renames a bucket in the list of buckets, as a flipped bit in its name does.
func dropBucket(name []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.DeleteBucket(name) }
}

// wantBackup fails the test unless a start serves a backup of s, with all accounts and the same identity, and logs
// nothing.
func wantBackup(t *testing.T, s *boltstore.Store, path string) {
	t.Helper()
	want, id, to := all(t, s), identityOf(t, path), staged(t, t.TempDir())
	v, err := s.Backup(t.Context(), to)
	must(t, err)
	must(t, to.Close()) // it is locked until then
	if v.Identity != id || v.Accounts != len(want) || v.Damaged > 0 {
		t.Errorf("the backup is of %q with %d accounts (%d damaged), want %q and %d", v.Identity, v.Accounts, v.Damaged, id, len(want))
	}
	copied, log, err := tryOpen(t, to.Name(), boltstore.Options{})
	must(t, err)
	defer storetest.Close(t, copied)
	if got := all(t, copied); !slices.EqualFunc(got, want, store.Account.Equal) || log.Len() > 0 {
		t.Errorf("a start serves %d accounts, and logs %s", len(got), log)
	}
	if n, err := copied.Seed(t.Context(), store.Fakes(200)); n != 0 || err != nil {
		t.Errorf("a start seeds %d accounts more, %v", n, err)
	}
}

func TestDamagedRecordOfTheServiceItselfEndsNoBackup(t *testing.T) {
	for name, damage := range map[string]func(*bbolt.Tx) error{
		"the identity": flipOwn(boltfile.IdentityKey),
		"the sentinel": flipOwn(boltfile.SentinelKey),
		"the seed":     flipOwn(boltfile.SeededKey),
		"copies":       flipOwn(boltfile.CopiesKey),
		"a missing identity": func(tx *bbolt.Tx) error {
			return tx.Bucket(boltfile.MetaBucket).Delete(boltfile.IdentityKey)
		},
		"the bucket of these":           dropBucket(boltfile.MetaBucket),
		"the bucket of answers":         dropBucket(boltfile.AnswerBucket),
		"the bucket of ages of answers": dropBucket(boltfile.AgeBucket),
	} {
		t.Run(name, func(t *testing.T) {
			s, path := seeded(t, 100)
			putOnce(t, s, "10000", "key")
			must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
				copies := boltfile.Seal(boltfile.CopiesKey, []byte("7 6 \"/nowhere/copy.db\"\n"))
				return tx.Bucket(boltfile.MetaBucket).Put(boltfile.CopiesKey, copies)
			}))
			must(t, s.CommitForTest(damage))
			wantBackup(t, s, path)
			storetest.Close(t, s)
			before := readFile(t, path)
			to := staged(t, t.TempDir())
			v, err := boltstore.BackupFile(t.Context(), boltstore.Options{Path: path, OpenTimeout: time.Second}, to)
			if strings.Contains(name, "bucket") { // a start mends none of them
				wantErr(t, err, boltstore.ErrDamaged)
				return
			}
			if err != nil || v.Identity != identityOf(t, path) || v.Accounts != 100 {
				t.Errorf("of the closed file: %q, %d accounts, %v", v.Identity, v.Accounts, err)
			}
			if after, _ := os.ReadFile(path); !slices.Equal(after, before) {
				t.Error("the file was changed")
			}
			s = openAt(t, path)
			must(t, s.CheckRecords(t.Context()))
			wantBackup(t, s, path)
		})
	}
}

// The page with the list of buckets has no checksum in the file: one that is not as it was written is never copied.
func TestDamagedListOfBucketsEndsABackupWithItsCure(t *testing.T) {
	for _, text := range []string{"answers by age", "sentinel"} {
		t.Run(text, func(t *testing.T) {
			s, path := seeded(t, 100)
			putOnce(t, s, "10000", "key")
			image, m := imageAt(t, path)
			root := int64(m.Root) * m.PageSize
			spoil(t, path, root+int64(strings.Index(string(image[root:]), text)+len(text)-1), []byte("X"))
			_, err := s.Backup(t.Context(), staged(t, t.TempDir()))
			wantErr(t, err, boltstore.ErrDamaged, "root page", "restart the service")
		})
	}
	s, _ := seeded(t, 100)
	must(t, s.CommitForTest(dropBucket(boltfile.AccountBucket)))
	_, err := s.Backup(t.Context(), staged(t, t.TempDir()))
	wantErr(t, err, boltstore.ErrDamaged, "bucket is gone: AccountBucket; older backups stay as they are; restore one")
}

func TestDamagedDatabaseStillSaysWhichItIs(t *testing.T) {
	path := worn(t)
	id := identityOf(t, path)
	b := readFile(t, path)
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{{"a page", damageLeaf(slices.Clone(b)), id}, {"cut", b[:8*os.Getpagesize()], ""}, {"empty", nil, ""}} {
		writeFile(t, path, c.b)
		f, err := os.Open(path)
		must(t, err)
		v, err := boltstore.VerifyWhole(t.Context(), f)
		must(t, f.Close())
		if !errors.Is(err, boltstore.ErrDamaged) || v.Identity != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, v.Identity, err, c.want)
		}
	}
}
