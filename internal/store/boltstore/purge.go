package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

const (
	// purgePause is how long nothing is looked for after no old answer was left, or
	// they could not be read.
	purgePause = time.Minute
	// purgeMost is how many answers one transaction removes at most, as many as it
	// can add. The reads for it take at most about purgeTime.
	purgeMost = maxBatch
	purgeTime = 50 * time.Millisecond
)

// purge removes answers that are too old, with a commit that is made anyway, at
// most once a minute; while more are left, each commit removes some. No write fails
// for it: what cannot be read stays, and is for verify to report.
func (c *committer) purge(tx *bbolt.Tx, snap snapshot) {
	now := c.now()
	if wait := c.nextPurge.Sub(now); 0 < wait && wait <= purgePause { // longer: the clock was set back
		return
	}
	old, more, err := c.oldest(snap, now)
	if !more || err != nil {
		c.nextPurge = now.Add(purgePause)
	}
	if err != nil || len(old) == 0 {
		return
	}
	answers, ages := tx.Bucket(answerBucket), tx.Bucket(ageBucket)
	for _, age := range old {
		if ages.Get(age) != nil { // else a write of this batch used the key again
			answers.Delete(age[timeSize:])
			ages.Delete(age)
		}
	}
}

// oldest returns the ages of answers to remove now, and whether there are more. It
// reads the pages that their removal will read.
func (c *committer) oldest(snap snapshot, now time.Time) (old [][]byte, more bool, err error) {
	answers, err := snap.bucket(answerBucket)
	if errors.Is(err, errNoBucket) {
		return nil, false, nil // no write of this file had a key yet
	}
	if err != nil {
		return nil, false, err
	}
	ages, err := snap.bucket(ageBucket)
	if err != nil {
		return nil, false, err
	}
	begun := time.Now()
	var failure error
	err = ages.after([]byte{}, func(k, _ []byte) bool {
		if !expired(k, now) {
			return false
		}
		if more = len(old) == purgeMost || time.Since(begun) > purgeTime; more {
			return false
		}
		c.progress()
		failure = errors.Join(answers.around(k[timeSize:]), ages.around(k))
		old = append(old, bytes.Clone(k))
		return failure == nil
	})
	return old, more, errors.Join(err, failure)
}

// expired reports whether the answer with this age key is too old; what is no age
// key is not.
func expired(age []byte, now time.Time) bool {
	return len(age) == timeSize+sha256.Size &&
		now.Sub(time.UnixMicro(int64(binary.BigEndian.Uint64(age)))) >= store.IdempotencyRetention
}
