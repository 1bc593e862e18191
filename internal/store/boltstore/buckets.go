package boltstore

import (
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
)

var sentinelText = []byte("this file belongs to accountservice")

// prepare makes sure that the open file is ours and has its buckets.
func (s *Store) prepare() error {
	var ours, accounts, others bool
	err := s.db.View(func(tx *bbolt.Tx) error {
		ours, accounts = tx.Bucket(metaBucket) != nil, tx.Bucket(accountBucket) != nil
		k, _ := tx.Cursor().First()
		others = k != nil
		if ours {
			return checkSentinel(tx)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case ours && !accounts:
		return fmt.Errorf("its bucket %s is gone; restore a backup", accountBucket)
	case others && !ours && !accounts:
		return errors.New("is another program's database; check store.bolt.path")
	case ours:
		return nil
	}
	return s.db.Update(makeBuckets) // new, or the tutorial's
}

func makeBuckets(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(accountBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(sentinelKey, seal(sentinelKey, sentinelText))
}

func checkSentinel(tx *bbolt.Tx) error {
	b := tx.Bucket(metaBucket)
	if b == nil {
		return fmt.Errorf("its bucket %s is gone", metaBucket)
	}
	text, err := unseal(sentinelKey, b.Get(sentinelKey))
	if err != nil {
		return fmt.Errorf("sentinel: %w", err)
	}
	if string(text) != string(sentinelText) {
		return errors.New("sentinel: not the text of this service")
	}
	return nil
}
