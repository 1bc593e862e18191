package boltstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

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
// which database it is. A damage that a transaction mends is mended.
func (h *handle) prepare(damage error) error {
	h.pageSize = int64(h.db.Info().PageSize)
	var ours bool
	err := h.db.View(func(tx *bbolt.Tx) (err error) {
		ours, err = isOurs(tx, h.snapshot(tx))
		return err
	})
	if err != nil {
		return err
	}
	if !ours || damage != nil {
		if err := h.db.Update(makeBuckets); err != nil && !(ours && noSpace(err)) { // Check mends it when there is room
			return err
		}
	}
	var id []byte
	err = h.db.View(func(tx *bbolt.Tx) (err error) {
		h.committed.Store(uint64(tx.ID()))
		meta := tx.Bucket(metaBucket)
		id, err = unseal(identityKey, meta.Get(identityKey))
		return err
	})
	if err != nil {
		return fmt.Errorf("its identity: %w; restore a backup", err)
	}
	h.id = string(id)
	return nil
}

// isOurs says whether this service made the file; if not, it is new or the
// tutorial's, or an error.
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

// identify tells the witness which database is here, and the log if it is
// another or an older one. A folder that can't be written has no witness: the
// file may be mounted alone.
func (s *Store) identify(h *handle) error {
	known, err := testify(s.path)
	if err != nil {
		return err
	}
	here := h.committed.Load()
	switch {
	case known.id != "" && known.id != h.id:
		s.log.Warn("another database than before is at the path: taken as a restore", "path", s.path)
	case known.txid > here:
		s.log.Warn("an older state of the database is at the path: taken as a restore", "path", s.path,
			"transaction", here, "before", known.txid)
	}
	if known.closed {
		// what is written from now on must not follow the transaction of which the
		// witness says that it is the last, should it not be able to take that back
		err := h.db.Update(func(*bbolt.Tx) error { return nil })
		if err == nil {
			h.committed.Add(1)
		} else if noSpace(err) {
			err = reopenWitness(s.path)
		}
		if err != nil {
			return err
		}
	}
	return s.tellWitness(h, false)
}

// tellWitness makes the witness know the database as it is now, and whether
// that is its end in order. On a full disk it keeps what it knows, which is that
// there is a database: reading goes on there.
func (s *Store) tellWitness(h *handle, closed bool) error {
	err := leaveWitness(s.path, testimony{h.id, h.committed.Load(), closed})
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		s.log.Warn("no witness can be left beside the database: if the file is lost, a new one will be made", "path", s.path, "err", err)
		return nil
	case noSpace(err):
		s.log.Warn("the witness beside the database can't be written anew: the disk is full", "path", s.path, "err", err)
		return nil
	}
	return err
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
