package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
	"accountservice/internal/store/storetest"
	"accountservice/internal/store/transfer"
	"accountservice/tests/harness"
)

// damage flips a bit in the records of these accounts, in the file of a store that may be open.
func damage(t *testing.T, path string, ids ...store.ID) {
	t.Helper()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	harness.DamageRecords(t, path, names...)
}

func TestDamagedRecordKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) (store.Store, storetest.Damager) {
		path := filepath.Join(t.TempDir(), "accounts.db")
		s := openAt(t, path)
		return s, func(t *testing.T, ids ...store.ID) { t.Helper(); damage(t, path, ids...); s.ForgetForTest() }
	})
}

// exported counts the lines of an export.
func exported(t *testing.T, from transfer.Source) transfer.Tally {
	t.Helper()
	var tally transfer.Tally
	must(t, transfer.Export(t.Context(), from, &tally, time.Minute))
	return tally
}

func TestDamagedRecordsCostThemselvesAlone(t *testing.T) {
	t.Parallel()
	accounts := 4000
	if long() {
		accounts = 20_000
	}
	for _, n := range []int{1, 100, accounts / 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			s, path := seeded(t, accounts)
			var ids []store.ID
			isDamaged := make(map[store.ID]bool)
			for i := range n {
				id := store.ID(fmt.Sprint(10000 + i*(accounts/n)))
				ids, isDamaged[id] = append(ids, id), true
			}
			damage(t, path, ids...)
			for i := 0; i < accounts; i += 1 + accounts/5000 {
				id := store.ID(fmt.Sprint(10000 + i))
				acc, err := s.Get(t.Context(), id)
				if isDamaged[id] != errors.Is(err, store.ErrDamaged) || !isDamaged[id] && acc.Name != fmt.Sprint("Person_", i) {
					t.Fatalf("Get(%s) = %+v, %v", id, acc, err)
				}
			}
			if got := exported(t, s); got.Accounts != accounts-n || got.Damaged != n {
				t.Errorf("exported %+v", got)
			}
			var found error
			for range accounts/1024 + 1 {
				found = s.CheckRecords(t.Context())
			}
			if found == nil || !strings.Contains(found.Error(), fmt.Sprintf("damaged records: %d (", n)) || !strings.Contains(found.Error(), `account "10000"`) || len(found.Error()) > 500 {
				t.Errorf("CheckRecords = %v", found)
			}
			storetest.Close(t, s)
			report, err := boltverify.Verify(t.Context(), path)
			if err != nil || report.Damaged != n || report.Accounts != accounts || !report.OnlyRecords() || report.DamagedIDs[0] != "10000" || len(report.DamagedIDs) != min(n, 1000) {
				t.Errorf("%d of %d accounts, %d named, %v", report.Damaged, report.Accounts, len(report.DamagedIDs), err)
			}
			r, err := boltstore.OpenReader(t.Context(), boltstore.Options{Path: path})
			must(t, err)
			defer r.Close()
			if got := exported(t, r); got.Accounts != accounts-n || got.Damaged != n {
				t.Errorf("a reader exported %+v", got)
			}
			salvaged := make(map[store.ID]bool)
			report, err = boltverify.Salvage(t.Context(), path, func(acc store.Account, damage error) error {
				if isDamaged[acc.ID] == (damage == nil) {
					t.Errorf("salvaged %+v, %v", acc, damage)
				}
				salvaged[acc.ID] = true
				return nil
			})
			if len(salvaged) != accounts || report.Intact || err != nil {
				t.Errorf("salvaged %d accounts, %v", len(salvaged), err)
			}
		})
	}
}

func TestCheckRecordsSaysWhatBecomesOfDamagedRecords(t *testing.T) {
	t.Parallel()
	const account, answer = "DELETE removes it", "is forgotten 24 hours after it"
	for name, c := range map[string]struct {
		bucket    []byte
		says, not string
	}{
		"an account": {boltfile.AccountBucket, account, answer},
		"our own":    {boltfile.MetaBucket, "a start makes the service's own records anew", account},
		"an answer":  {boltfile.AnswerBucket, answer, account},
		"an age":     {boltfile.AgeBucket, answer, account},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := seeded(t, 1)
			putOnce(t, s, "1", "key")
			must(t, s.CommitForTest(flip(c.bucket, nil)))
			err := s.CheckRecords(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.not) {
				t.Errorf("CheckRecords = %v", err)
			}
		})
	}
}

func TestCheckRecordsPassesWhenDamagedRecordsAreReplacedOrRemoved(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 3*1024)
	must(t, walkAll(t, s, 3*1024))
	damage(t, path, "10001", "10002", "13000")
	s.CheckRecords(t.Context())
	s.CheckRecords(t.Context())
	err := s.CheckRecords(t.Context())
	wantWords(t, err, `damaged records: 3 (account "10001", account "10002", account "13000")`)
	must(t, s.Check(t.Context())) // a restart would find the same damage
	must(t, putName(t, s, "10001", "anew"))
	must(t, s.Delete(t.Context(), "13000", store.Preconditions{}))
	wantWords(t, s.CheckRecords(t.Context()), `damaged records: 1 (account "10002")`)
	must(t, errOf(s.Import(t.Context(), []store.Account{{ID: "10002", Draft: store.Draft{Name: "anew"}}})))
	must(t, s.CheckRecords(t.Context()))
}

func TestDamagedAccountDoesNotKeepAStartFromMendingItsOwnRecords(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 2000)
	must(t, s.CommitForTest(flip(boltfile.MetaBucket, boltfile.IdentityKey)))
	storetest.Close(t, s)
	damage(t, path, "10007")
	s = openAt(t, path)
	wantErr(t, errOf(s.Get(t.Context(), "10007")), store.ErrDamaged)
	wantName(t, s, "10008", "Person_8")
}

// A flipped bit in a key that leaves the keys in order hides its account under another id.
func TestFlippedKeyHidesNoAccount(t *testing.T) {
	t.Parallel()
	s, path := seeded(t, 100)
	image := readFile(t, path)
	storetest.Close(t, s)
	image = bytes.ReplaceAll(image, []byte("10099\x01"), []byte("1009;\x01"))
	writeFile(t, path, image)
	s = openAt(t, path)
	wantErr(t, errOf(s.Get(t.Context(), "10099")), store.ErrUnavailable)
	wantErr(t, errOf(s.Put(t.Context(), "10099", store.Draft{Name: "x"}, store.Preconditions{Absent: true})), store.ErrUnavailable)
	wantErr(t, errOf(s.Get(t.Context(), "1009;")), store.ErrDamaged)
	wantErr(t, errOf(s.Get(t.Context(), "10100")), store.ErrNotFound)
	wantName(t, s, "10098", "Person_98")
	if got := exported(t, s); got.Accounts != 99 || got.Damaged != 1 {
		t.Errorf("exported %+v", got)
	}
}

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
	damages := map[string]func(*bbolt.Tx) error{
		"the bucket of these":           dropBucket(boltfile.MetaBucket),
		"the bucket of answers":         dropBucket(boltfile.AnswerBucket),
		"the bucket of ages of answers": dropBucket(boltfile.AgeBucket),
	}
	for _, key := range [][]byte{boltfile.IdentityKey, boltfile.SentinelKey, boltfile.SeededKey, boltfile.CopiesKey} {
		damages[string(key)] = flipOwn(key)
		damages[string(key)+" missing"] = func(tx *bbolt.Tx) error { return tx.Bucket(boltfile.MetaBucket).Delete(key) }
	}
	for name, damage := range damages {
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
