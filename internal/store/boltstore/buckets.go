package boltstore

import (
	"crypto/rand"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Names in the file. accountBucket is the tutorial's, so that its files open.
var (
	accountBucket = []byte("AccountBucket")
	metaBucket    = []byte("accountservice")
	sentinelKey   = []byte("sentinel") // a record that never changes, for Check
	seededKey     = []byte("seeded")   // how many accounts Seed put
	identityKey   = []byte("identity") // random text: which database this is
)

var sentinelText = []byte("this file belongs to accountservice")

// prepare makes sure that the open file is ours and has its buckets, and learns
// which database it is.
func (h *handle) prepare() error {
	h.pageSize = int64(h.db.Info().PageSize)
	var ours bool
	err := h.db.View(func(tx *bbolt.Tx) (err error) {
		ours, err = isOurs(tx, h.snapshot(tx))
		return err
	})
	if err == nil && !ours {
		err = h.db.Update(makeBuckets)
	}
	if err != nil {
		return err
	}
	var id []byte
	err = h.db.View(func(tx *bbolt.Tx) (err error) {
		h.committed.Store(uint64(tx.ID()))
		id, err = unseal(identityKey, tx.Bucket(metaBucket).Get(identityKey))
		return err
	})
	if err != nil {
		return fmt.Errorf("its identity: %w; restore a backup", err)
	}
	h.id = string(id)
	return nil
}

// rewriteMeta commits, which writes a damaged meta page anew. On a full disk that
// is for a later commit.
func (h *handle) rewriteMeta() error {
	err := h.db.Update(makeBuckets)
	if noSpace(err) {
		return nil
	}
	if err == nil {
		h.committed.Add(1)
	}
	return err
}

// isOurs reports whether this service made the file. A file that is neither ours
// nor new nor the tutorial's is an error.
func isOurs(tx *bbolt.Tx, snap snapshot) (bool, error) {
	accounts := tx.Bucket(accountBucket)
	if tx.Bucket(metaBucket) != nil {
		if accounts == nil {
			return true, fmt.Errorf("its bucket %s is gone; restore a backup", accountBucket)
		}
		if err := checkBuckets(snap); err != nil {
			return true, fmt.Errorf("%w; restore a backup", err)
		}
		return true, nil
	}
	if first, _ := tx.Cursor().First(); accounts == nil && first != nil {
		return false, errors.New("is another program's database; check store.bolt.path")
	}
	if tx.Bucket(answerBucket) != nil {
		return false, fmt.Errorf("its bucket %s is gone; restore a backup", metaBucket)
	}
	if accounts != nil {
		if k, v := accounts.Cursor().First(); k != nil && len(v) > 0 && v[0] == formatChecked {
			return false, fmt.Errorf("its bucket %s is gone; restore a backup", metaBucket)
		}
	}
	return false, nil
}

func makeBuckets(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(accountBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if meta.Get(identityKey) == nil {
		err = meta.Put(identityKey, seal(identityKey, []byte(rand.Text())))
	}
	return errors.Join(err, meta.Put(sentinelKey, seal(sentinelKey, sentinelText)))
}

// checkBuckets reads the sentinel, and the accounts as far as their first page.
func checkBuckets(snap snapshot) error {
	accounts, err := snap.bucket(accountBucket)
	if err == nil {
		_, _, err = accounts.leafOf(nil)
	}
	return errors.Join(checkSentinel(snap), err)
}

func checkSentinel(snap snapshot) error {
	ours, err := snap.bucket(metaBucket)
	if err != nil {
		return err
	}
	record, err := ours.get(sentinelKey)
	if err != nil {
		return err
	}
	text, err := unseal(sentinelKey, record)
	if err != nil {
		return fmt.Errorf("sentinel: %w", err)
	}
	if string(text) != string(sentinelText) {
		return errors.New("sentinel: not the text of this service")
	}
	return nil
}
