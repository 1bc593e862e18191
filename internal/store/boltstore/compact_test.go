package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore"
	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/storetest"
)

// worn returns the path of a closed database that had 3000 accounts and has 100, and answers under keys.
func worn(t *testing.T) string {
	t.Helper()
	s, path := seeded(t, 3000)
	must(t, s.CommitForTest(func(tx *bbolt.Tx) error {
		for i := range 2900 {
			must(t, tx.Bucket(boltfile.AccountBucket).Delete(fmt.Append(nil, 10100+i)))
		}
		return nil
	}))
	putOnce(t, s, "10001", "key-1")
	putOnce(t, s, "10001", "key-2")
	storetest.Close(t, s)
	return path
}

func TestCompactKeepsAllThatAServiceServes(t *testing.T) {
	t.Parallel()
	path := worn(t)
	before := openAt(t, path)
	accounts, id, txid := all(t, before), identityOf(t, path), metaAt(t, path).TxID
	storetest.Close(t, before)
	must(t, os.Chmod(path, 0o640))
	c, err := boltstore.Compact(t.Context(), path, false)
	must(t, err)
	wantIntact(t, path)
	info, err := os.Stat(path)
	must(t, err)
	if c.After.Size != info.Size() || c.After.Size > c.Before.Size/4 || c.After.Accounts != 100 || c.Kept != "" {
		t.Errorf("%d bytes of %d (the file has %d), %d accounts, kept %q", c.After.Size, c.Before.Size, info.Size(),
			c.After.Accounts, c.Kept)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %s", info.Mode())
	}
	wantAlone(t, path)
	s, log, err := tryOpen(t, path, boltstore.Options{MustExist: true})
	must(t, err)
	defer storetest.Close(t, s)
	if now := metaAt(t, path).TxID; identityOf(t, path) != id || now != txid || log.Len() > 0 {
		t.Errorf("database %s at transaction %d, was %s at %d; log %s", identityOf(t, path), now, id, txid, log)
	}
	for i, acc := range all(t, s) {
		if !acc.Equal(accounts[i]) || acc.Revision() != accounts[i].Revision() {
			t.Errorf("%+v, was %+v", acc, accounts[i])
		}
	}
	wantReplay(t, s, "10001", "key-1", "2 key-1")
	wantReplay(t, s, "10001", "key-2", "3 key-2")
	if n, err := s.Seed(t.Context(), store.Fakes(200)); n != 0 || err != nil {
		t.Errorf("Seed = %d, %v", n, err)
	}
	for i := range 300 { // and it can be written
		must(t, putName(t, s, store.ID(fmt.Sprint(i)), "x"))
	}
	must(t, s.Check(t.Context()))
}

// wantAlone wants no other file beside a database than its witness.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	for _, entry := range entries {
		if name := filepath.Join(filepath.Dir(path), entry.Name()); name != path && name != path+".witness" {
			t.Errorf("%s was left", name)
		}
	}
}

func TestCompactOfATutorialFile(t *testing.T) {
	t.Parallel()
	path := tutorialFile(t)
	c, err := boltstore.Compact(t.Context(), path, false)
	must(t, err)
	if c.After.Accounts != 100 || c.After.Unchecked != 100 || c.After.Identity != "" {
		t.Errorf("%+v", c.After)
	}
	s := openAt(t, path)
	wantName(t, s, "10007", "Person_7")
}

func TestCompactRefusesDamageAndLeavesTheFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		want   error
	}{
		"a page":        {damageLeaf, boltstore.ErrDamaged},
		"cut":           {func(b []byte) []byte { return b[:8*os.Getpagesize()] }, boltstore.ErrDamaged},
		"another's":     {func([]byte) []byte { return []byte(strings.Repeat("hello\n", 9000)) }, boltstore.ErrDamaged},
		"empty":         {func([]byte) []byte { return nil }, boltstore.ErrDamaged},
		"a lost page":   {losePage, boltstore.ErrLostPages},
		"the last meta": {func(b []byte) []byte { copy(b[newestMeta(b).TxID%2*4096+16:], "xxxx"); return b }, boltstore.ErrDamaged},
		"older meta":    {func(b []byte) []byte { b[(newestMeta(b).TxID+1)%2*4096+16] ^= 1; return b }, boltfile.ErrOlderMeta},
	} {
		t.Run(name, func(t *testing.T) {
			path := worn(t)
			b := c.damage(readFile(t, path))
			writeFile(t, path, b)
			wantErr(t, errOf(boltstore.Compact(t.Context(), path, false)), c.want)
			if after, err := os.ReadFile(path); err != nil || string(after) != string(b) {
				t.Errorf("the file was changed: %v", err)
			}
			wantAlone(t, path)
		})
	}
}

func TestFolderThatCannotBeFlushedIsRefusedBeforeTheFileIsReplaced(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to ask as another user takes root")
	}
	path, user := worn(t), 65534
	for _, name := range []string{path, path + ".witness", filepath.Dir(path)} {
		must(t, os.Chown(name, user, user))
	}
	must(t, errors.Join(os.Chmod(filepath.Dir(path), 0o300), os.Chmod(filepath.Join(path, "../.."), 0o755)))
	before, err := os.Stat(path)
	must(t, err)
	runtime.LockOSThread() // until the test ends
	must(t, syscall.Setfsuid(user))
	_, refused := boltstore.Compact(t.Context(), path, false)
	must(t, syscall.Setfsuid(0))
	wantErr(t, refused, os.ErrPermission)
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced, and the error is %v", refused)
	}
	wantAlone(t, path)
}

// damageLeaf overwrites the headers of the pages that have account 10007, in use and free.
func damageLeaf(b []byte) []byte {
	for page := range slices.Chunk(b, os.Getpagesize()) {
		if strings.Contains(string(page), `"Person_7"`) {
			copy(page, strings.Repeat("x", 16))
		}
	}
	return b
}

func putTutorial(tx *bbolt.Tx, id, record string) error {
	return tx.Bucket(boltfile.AccountBucket).Put([]byte(id), []byte(record))
}

// A copy without damaged records would say that there are no such accounts, and no copy at all would cost all others.
func TestCopyKeepsDamagedRecordsAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil          func(*bbolt.Tx) error
		damaged, minor int
	}{
		"an account": {flip(boltfile.AccountBucket, []byte("10007")), 1, 0},
		"an answer":  {flip(boltfile.AnswerBucket, nil), 0, 1},
		"an age":     {flip(boltfile.AgeBucket, nil), 0, 1},
		"an answer without age": {func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket(boltfile.AgeBucket).Cursor().First()
			return tx.Bucket(boltfile.AgeBucket).Delete(k)
		}, 0, 1},
		"the id of a tutorial's record":   {func(tx *bbolt.Tx) error { return putTutorial(tx, "2", `{"id":"9","name":"Nine"}`) }, 0, 1},
		"the name of a tutorial's record": {func(tx *bbolt.Tx) error { return putTutorial(tx, "2", `{"id":"2"}`) }, 0, 1},
		"all of them": {func(tx *bbolt.Tx) error {
			return errors.Join(flip(boltfile.AccountBucket, []byte("10007"))(tx), flip(boltfile.AnswerBucket, nil)(tx),
				flip(boltfile.AgeBucket, nil)(tx), putTutorial(tx, "2", `{"id":"9"}`))
		}, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			path := worn(t)
			s := openAt(t, path)
			must(t, s.CommitForTest(c.spoil))
			storetest.Close(t, s)
			wantFound := func(what string, v boltstore.Verified, err error) {
				t.Helper()
				if err != nil || v.Damaged != c.damaged || v.Minor != c.minor || v.Intact || !v.OnlyRecords() {
					t.Errorf("%s: %d damaged, %d minor, %v, %v", what, v.Damaged, v.Minor, v.Findings, err)
				}
			}
			copied := staged(t, t.TempDir())
			v, err := boltstore.BackupFile(t.Context(), boltstore.Options{Path: path}, copied)
			wantFound("backup of a file", v, err)
			compacted, err := boltstore.Compact(t.Context(), path, false)
			wantFound("compact", compacted.After, err)
			if compacted.Kept == "" {
				t.Error("the damaged file is not kept beside")
			}
			b := readFile(t, copied.Name())
			restored := filepath.Join(t.TempDir(), "accounts.db") // copied is locked
			writeFile(t, restored, b)
			for _, path := range []string{path, restored} {
				s := openAt(t, path)
				v, err = s.Backup(t.Context(), staged(t, t.TempDir()))
				wantFound("backup of an open database", v, err)
				if _, err := s.Get(t.Context(), "10007"); errors.Is(err, store.ErrDamaged) != (c.damaged > 0) {
					t.Errorf("Get of the account: %v", err)
				}
				wantName(t, s, "10008", "Person_8")
				storetest.Close(t, s)
			}
		})
	}
}

func newestMeta(b []byte) boltfile.Meta {
	m, _ := boltfile.Inspect(bytes.NewReader(b), int64(len(b)))
	return m
}

// losePage removes the last page of the list of free pages, which is a whole list then.
func losePage(b []byte) []byte {
	m := newestMeta(b)
	list := b[int64(m.Freelist)*m.PageSize:]
	list[10]--
	clear(list[16+8*int(list[10]):][:8])
	return b
}

func TestDatabaseWithLostPagesIsRefusedWithItsCure(t *testing.T) {
	t.Parallel()
	path := worn(t)
	b := readFile(t, path)
	writeFile(t, path, losePage(b))
	refused(t, path, boltstore.Options{}, "is neither in use nor free", "accountservice compact --accept-lost-pages")
	c, err := boltstore.Compact(t.Context(), path, true)
	must(t, err)
	if kept, err := os.ReadFile(c.Kept); err != nil || string(kept) != string(b) {
		t.Errorf("kept as %q: %v", c.Kept, err)
	}
	wantIntact(t, path)
	s := openAt(t, path)
	if n := len(all(t, s)); n != 100 {
		t.Errorf("%d accounts", n)
	}
}

// bbolt's copies have the newest meta page first, whatever its number.
func TestDamagedListOfFreePagesOfACopyIsMended(t *testing.T) {
	t.Parallel()
	path := worn(t)
	for _, parity := range []uint64{0, 1} {
		db, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		copied := filepath.Join(t.TempDir(), "accounts.db")
		for txid := ^parity; txid%2 != parity; {
			must(t, db.Update(func(tx *bbolt.Tx) error { txid = uint64(tx.ID()); return nil }))
		}
		must(t, db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }))
		must(t, db.Close())
		b := readFile(t, copied)
		if m := newestMeta(b); m.TxID%2 != parity {
			t.Fatalf("transaction %d, want one of parity %d", m.TxID, parity)
		} else {
			b[int64(m.Freelist)*m.PageSize+10]-- // the count
		}
		writeFile(t, copied, b)
		if n := len(all(t, openAt(t, copied))); n != 100 {
			t.Errorf("parity %d: %d accounts", parity, n)
		}
	}
}

func TestCompactOfADatabaseInUseIsRefused(t *testing.T) {
	s, path := seeded(t, 10)
	_, err := boltstore.Compact(t.Context(), path, false)
	wantErr(t, err, boltstore.ErrLocked)
	must(t, s.Check(t.Context()))
}

func TestReplacementHasTheOwnerOfTheDatabaseOrItsFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	path := closed(t, 10)
	must(t, os.Chown(path, 65532, 65533))
	must(t, errOf(boltstore.Compact(t.Context(), path, false)))
	wantOwner(t, path, 65532, 65533)
	must(t, os.Chown(filepath.Dir(path), 65530, 65531))
	must(t, os.Remove(path))
	r, err := boltstore.NewReplacement(path)
	must(t, err)
	must(t, r.Put())
	r.Discard()
	wantOwner(t, path, 65530, 65531)
}

func wantOwner(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if is := info.Sys().(*syscall.Stat_t); is.Uid != uid || is.Gid != gid {
		t.Errorf("owner %d:%d, want %d:%d", is.Uid, is.Gid, uid, gid)
	}
}

func TestAtAnyTimeTheOldOrTheNewDatabaseIsAtThePath(t *testing.T) {
	t.Parallel()
	path := closed(t, 10)
	b := readFile(t, path)
	ctx, over := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if info, err := os.Stat(path); err != nil || info.Size() != int64(len(b)) {
				t.Errorf("at one time: %+v, %v; want %d bytes", info, err, len(b))
				return
			}
		}
	})
	for i := range 20 {
		r, err := boltstore.NewReplacement(path)
		must(t, err)
		must(t, errOf(r.Write(b)))
		kept, err := r.Replace(i%2 == 0)
		must(t, err)
		r.Discard()
		if kept != "" {
			wantIntact(t, kept)
		}
	}
	over()
	watching.Wait()
	wantIntact(t, path)
}
