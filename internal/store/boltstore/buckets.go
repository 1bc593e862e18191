package boltstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"go.etcd.io/bbolt"

	"accountservice/internal/store/boltstore/boltfile"
)

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
		meta := tx.Bucket(boltfile.MetaBucket)
		id, err = boltfile.Unseal(boltfile.IdentityKey, meta.Get(boltfile.IdentityKey))
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
		return false, errors.New("is another program's database; check store.bolt.path")
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
		_, err = accounts.Get(nil)
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
