package boltstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

// prepare makes sure that the open file is ours and has its buckets, and learns which database it is.
func (h *handle) prepare() error {
	h.pageSize = int64(h.db.Info().PageSize)
	var ours bool
	err := h.db.View(func(tx *bbolt.Tx) (err error) {
		ours, err = isOurs(tx, h.snapshot(tx, h.file))
		return err
	})
	if err == nil && !ours {
		err = h.db.Update(makeBuckets)
	}
	if err != nil {
		return err
	}
	return h.db.View(func(tx *bbolt.Tx) (err error) {
		h.committed.Store(uint64(tx.ID()))
		h.id, err = identity(h.snapshot(tx, h.file))
		return err
	})
}

// identity is which database this is, "" if it is the tutorial's.
func identity(snap boltfile.Snapshot) (string, error) {
	ours, err := snap.Bucket(boltfile.MetaBucket)
	if errors.Is(err, boltfile.ErrNoBucket) {
		return "", nil
	}
	var record []byte
	if err == nil {
		record, err = ours.Get(boltfile.IdentityKey)
	}
	var id []byte
	if err == nil {
		id, err = boltfile.Unseal(boltfile.IdentityKey, record)
	}
	if err != nil {
		return "", fmt.Errorf("its identity: %w; restore a backup", err)
	}
	return string(id), nil
}

// rewriteMeta commits, which writes a damaged meta page anew.
func (h *handle) rewriteMeta() error { return h.update(makeBuckets) }

// update commits a change of a start. On a full disk that is for a later one.
func (h *handle) update(change func(*bbolt.Tx) error) error {
	err := h.db.Update(change)
	if noSpace(err) {
		h.stale = true
		return nil
	}
	if err == nil {
		h.committed.Add(1)
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

var errOtherProgram = errors.New("is another program's database; check store.bolt.path")

// isOurs reports whether this service made the file. A file that is neither ours nor new nor the tutorial's is an
// error.
func isOurs(tx *bbolt.Tx, snap boltfile.Snapshot) (bool, error) {
	accounts := tx.Bucket(boltfile.AccountBucket)
	if tx.Bucket(boltfile.MetaBucket) != nil {
		if accounts == nil {
			return true, fmt.Errorf("its bucket %s is gone; restore a backup", boltfile.AccountBucket)
		}
		if err := checkBuckets(snap); err != nil {
			return true, fmt.Errorf("%w; restore a backup", err)
		}
		return true, nil
	}
	if first, _ := tx.Cursor().First(); accounts == nil && first != nil {
		return false, errOtherProgram
	}
	if tx.Bucket(boltfile.AnswerBucket) != nil {
		return false, fmt.Errorf("its bucket %s is gone; restore a backup", boltfile.MetaBucket)
	}
	if accounts != nil {
		if k, v := accounts.Cursor().First(); k != nil && boltfile.IsSealed(v) {
			return false, fmt.Errorf("its bucket %s is gone; restore a backup", boltfile.MetaBucket)
		}
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
		err = meta.Put(boltfile.IdentityKey, boltfile.Seal(boltfile.IdentityKey, []byte(rand.Text())))
	}
	return errors.Join(err, meta.Put(boltfile.SentinelKey, boltfile.Seal(boltfile.SentinelKey, boltfile.SentinelText)))
}

// checkBuckets reads the sentinel, and the accounts as far as their first page.
func checkBuckets(snap boltfile.Snapshot) error {
	accounts, err := snap.Bucket(boltfile.AccountBucket)
	if err == nil {
		_, _, err = accounts.Leaf(nil)
	}
	return errors.Join(checkSentinel(snap), err)
}

func checkSentinel(snap boltfile.Snapshot) error {
	ours, err := snap.Bucket(boltfile.MetaBucket)
	if err != nil {
		return err
	}
	record, err := ours.Get(boltfile.SentinelKey)
	if err != nil {
		return err
	}
	text, err := boltfile.Unseal(boltfile.SentinelKey, record)
	if err != nil {
		return fmt.Errorf("sentinel: %w", err)
	}
	if string(text) != string(boltfile.SentinelText) {
		return errors.New("sentinel: not the text of this service")
	}
	return nil
}
