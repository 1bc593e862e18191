package boltstore

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// purgePause is how long purge waits after it left no old answer, or could not read them.
	purgePause = time.Minute
	// purgeMost is how many answers one transaction removes at most, as many as it can add. The reads for it take at
	// most about purgeTime.
	purgeMost = maxBatch
	purgeTime = 50 * time.Millisecond
)

// purge removes answers that are too old, with a commit that is made anyway, at most once a minute; while more are
// left, each commit removes some. No write fails for it: what cannot be read stays, and is for verify to report.
func (c *committer) purge(tx *bbolt.Tx, snap boltfile.Snapshot) {
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
	answers, ages := tx.Bucket(boltfile.AnswerBucket), tx.Bucket(boltfile.AgeBucket)
	for _, k := range old {
		if ages.Get(k.age) != nil { // else a write of this batch used the key again
			answers.Delete(k.answer)
			ages.Delete(k.age)
		}
	}
}

// oldest returns the answers to remove now, and whether there are more. It reads the pages that their removal will
// read.
func (c *committer) oldest(snap boltfile.Snapshot, now time.Time) (old []expired, more bool, err error) {
	answers, err := snap.Bucket(boltfile.AnswerBucket)
	if errors.Is(err, boltfile.ErrNoBucket) {
		return nil, false, nil // no write of this file had a key yet
	}
	if err != nil {
		return nil, false, err
	}
	ages, err := snap.Bucket(boltfile.AgeBucket)
	if err != nil {
		return nil, false, err
	}
	begun := time.Now()
	var failure error
	err = ages.After([]byte{}, func(k, _ []byte) bool {
		at, answer, err := boltfile.ParseAgeKey(k)
		if err == nil && now.Sub(at) < store.IdempotencyRetention {
			return false
		}
		if more = len(old) == purgeMost || time.Since(begun) > purgeTime; more {
			return false
		}
		// A key in an unknown format is of no answer, and goes too: it would stay for ever.
		failure = errors.Join(answers.Around(answer), ages.Around(k))
		old = append(old, expired{k, answer})
		return failure == nil
	})
	return old, more, errors.Join(err, failure)
}

// expired is an answer that is too old, by its keys in boltfile.AgeBucket and boltfile.AnswerBucket.
type expired struct{ age, answer []byte }
