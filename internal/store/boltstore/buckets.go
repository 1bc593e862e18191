package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
	"accountservice/internal/store/boltstore/boltverify"
)

// prepare makes sure that the open file is ours, has its buckets and whole records of the service itself, and learns
// which database it is. mended is what was wrong with those records. known is the identity to give a database whose own
// is damaged, or "".
func (h *handle) prepare(ctx context.Context, known string) (mended, err error) {
	h.pageSize = int64(h.db.Info().PageSize)
	var ours bool
	var damage error
	err = h.db.View(func(tx *bbolt.Tx) (err error) {
		if ours, err = isOurs(tx, h.snapshot(tx, h.file)); ours && err == nil {
			_, wrong, unread := ownRecords(h.snapshot(tx, h.file))
			damage = errors.Join(unread, wrong)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case damage != nil:
		err = h.mendOwnRecords(ctx, damage, known)
	case !ours:
		err = h.db.Update(makeBuckets)
	}
	if err != nil {
		return nil, err
	}
	return damage, h.db.View(func(tx *bbolt.Tx) (err error) {
		h.committed.Store(uint64(tx.ID()))
		h.remember(h.file, uint64(tx.ID()))
		h.id, err = identity(h.snapshot(tx, h.file))
		return err
	})
}

// identity is which database this is, "" if it is the tutorial's.
func identity(snap boltfile.Snapshot) (string, error) {
	id, err := readOwn(snap, boltfile.IdentityKey)
	if errors.Is(err, boltfile.ErrNoBucket) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w; restore a backup", err)
	}
	return string(id), nil
}

// ownRecords returns the records of boltfile.MetaBucket by their keys, without the damaged ones. damage says that one is
// damaged, or that one is missing which every database has. A damaged boltfile.CopiesKey does not count: findNewer makes
// it anew, whatever else is damaged.
func ownRecords(snap boltfile.Snapshot) (records map[string][]byte, damage, err error) {
	records = make(map[string][]byte)
	own, err := snap.Bucket(boltfile.MetaBucket)
	if err == nil {
		err = own.After([]byte{}, func(k, v []byte) bool {
			if _, wrong := ownRecord(k, v); wrong == nil {
				records[string(k)] = v
			} else if damage == nil && !bytes.Equal(k, boltfile.CopiesKey) {
				damage = wrong
			}
			return true
		})
	}
	all := err == nil || errors.Is(err, boltfile.ErrNoBucket) // else the others may be there
	if all && damage == nil &&
		(records[string(boltfile.SentinelKey)] == nil || records[string(boltfile.IdentityKey)] == nil) {
		damage = errors.New("a record of the service itself is missing")
	}
	return records, damage, err
}

// mendOwnRecords makes the damaged records of boltfile.MetaBucket anew, if nothing else is damaged but records
// that a start serves beside.
func (h *handle) mendOwnRecords(ctx context.Context, damage error, known string) error {
	report, err := boltverify.VerifyFile(ctx, h.file)
	if err != nil {
		return err
	}
	if !report.Intact && !report.OnlyRecords() {
		return fmt.Errorf("%w, and that is not all: %s; restore a backup", damage, report.Findings[0])
	}
	return h.db.Update(func(tx *bbolt.Tx) error {
		records, err := mendedOwn(h.snapshot(tx, h.file), cmp.Or(known, rand.Text()))
		if err != nil {
			return err
		}
		if err := tx.DeleteBucket(boltfile.MetaBucket); err != nil {
			return err
		}
		own, err := tx.CreateBucket(boltfile.MetaBucket)
		if err != nil {
			return err
		}
		for k, v := range records {
			err = errors.Join(err, own.Put([]byte(k), v))
		}
		return errors.Join(err, makeBuckets(tx))
	})
}

// mendedOwn returns what ownRecords does. If one is damaged or missing, those that every database has are made anew, with
// this identity.
func mendedOwn(snap boltfile.Snapshot, identity string) (map[string][]byte, error) {
	records, damage, err := ownRecords(snap)
	if errors.Is(err, boltfile.ErrNoBucket) {
		err = nil
	}
	if damage == nil {
		return records, err
	}
	for _, r := range []struct {
		key     []byte
		content string
	}{
		{boltfile.SentinelKey, string(boltfile.SentinelText)},
		{boltfile.IdentityKey, identity},
		{boltfile.SeededKey, "0"}, // a damaged database is not new: no example accounts
	} {
		if records[string(r.key)] == nil {
			records[string(r.key)] = boltfile.Seal(r.key, []byte(r.content))
		}
	}
	return records, err
}

// update commits a change of a start. On a full disk that is for a later one: nothing may be written after a commit
// whose outcome is open.
func (h *handle) update(change func(*bbolt.Tx) error) error {
	if h.stale {
		return nil
	}
	h.begun.Store(h.committed.Load() + 1)
	err := h.db.Update(change)
	if noSpace(err) {
		h.stale = true
		h.fail()
		return nil
	}
	if err == nil {
		h.remember(h.file, h.committed.Add(1))
	}
	return err
}

// startable is nil if a start finds in a file what prepare wants.
func startable(f *os.File) error {
	m, err := boltfile.InspectFile(f)
	if err != nil {
		return err
	}
	_, err = identity(m.Snapshot(f))
	return errors.Join(err, checkBuckets(m.Snapshot(f)))
}

// errNoBuckets: this service puts a new database at its path with its buckets, or not at all.
var errNoBuckets = errors.New("is a database without buckets, and so not of this service; check store.bolt.path, " +
	"or remove it to begin with a new one")

var errOtherProgram = errors.New("is another program's database; check store.bolt.path")

// isOurs reports whether this service made the file. A file that is neither ours nor the tutorial's is an error.
func isOurs(tx *bbolt.Tx, snap boltfile.Snapshot) (bool, error) {
	accounts := tx.Bucket(boltfile.AccountBucket)
	if tx.Bucket(boltfile.MetaBucket) != nil {
		if accounts == nil {
			return true, fmt.Errorf("its bucket %s is gone; restore a backup", boltfile.AccountBucket)
		}
		if err := firstLeaf(snap); err != nil {
			return true, fmt.Errorf("%w; restore a backup", err)
		}
		return true, nil
	}
	if first, _ := tx.Cursor().First(); accounts == nil && first == nil {
		return false, errNoBuckets
	} else if accounts == nil {
		return false, errOtherProgram
	}
	if _, v := accounts.Cursor().First(); boltfile.IsSealed(v) || tx.Bucket(boltfile.AnswerBucket) != nil {
		return false, fmt.Errorf("its bucket %s is gone; restore a backup", boltfile.MetaBucket)
	}
	return false, nil
}

func makeBuckets(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(boltfile.AccountBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(boltfile.MetaBucket)
	if err != nil {
		return err
	}
	if meta.Get(boltfile.IdentityKey) == nil {
		err = putOwn(tx, boltfile.IdentityKey, rand.Text())
	}
	return errors.Join(err, putSentinel(tx), mark(tx))
}

// checkBuckets reads the sentinel, and the accounts as far as their first page.
func checkBuckets(snap boltfile.Snapshot) error {
	return errors.Join(checkSentinel(snap), firstLeaf(snap))
}

func firstLeaf(snap boltfile.Snapshot) error {
	return inAccounts(func(t boltfile.Tree) error { _, _, err := t.Leaf(nil); return err })(snap)
}

func checkSentinel(snap boltfile.Snapshot) error {
	_, err := readOwn(snap, boltfile.SentinelKey)
	return err
}

// putSentinel writes a record that never changes.
func putSentinel(tx *bbolt.Tx) error {
	return putOwn(tx, boltfile.SentinelKey, string(boltfile.SentinelText))
}

func putOwn(tx *bbolt.Tx, key []byte, content string) error {
	return tx.Bucket(boltfile.MetaBucket).Put(key, boltfile.Seal(key, []byte(content)))
}

// readOwn returns the content of a record of boltfile.MetaBucket.
func readOwn(snap boltfile.Snapshot, key []byte) ([]byte, error) {
	own, err := snap.Bucket(boltfile.MetaBucket)
	if err != nil {
		return nil, err
	}
	record, err := own.Get(key)
	if err != nil {
		return nil, err
	}
	return ownRecord(key, record)
}

// ownRecord returns the content of a record of boltfile.MetaBucket. A damaged or missing one is an error.
func ownRecord(key, record []byte) ([]byte, error) {
	content, err := boltfile.UnsealOwn(key, record)
	if err != nil {
		return nil, fmt.Errorf("the service's own record %.80q: %w", key, err)
	}
	return content, nil
}
