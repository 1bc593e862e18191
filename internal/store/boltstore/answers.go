package boltstore

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

func remembered(tx *bbolt.Tx, key string) (*store.IdempotencyRecord, error) {
	answers := tx.Bucket(boltfile.AnswerBucket)
	if answers == nil {
		return nil, nil
	}
	return decodeAnswer(boltfile.AnswerKey(key), answers.Get(boltfile.AnswerKey(key)))
}

// remember keeps the answer to a write in place of what was under its key.
func remember(
	tx *bbolt.Tx, once *store.Idempotency, written store.Written, was *store.IdempotencyRecord, now time.Time,
) error {
	answer, err := once.AnswerTo(written)
	if err != nil {
		return err
	}
	answers, err := tx.CreateBucketIfNotExists(boltfile.AnswerBucket)
	if err != nil {
		return err
	}
	ages, err := tx.CreateBucketIfNotExists(boltfile.AgeBucket)
	if err != nil {
		return err
	}
	key := boltfile.AnswerKey(once.Key)
	if was != nil {
		if err := ages.Delete(boltfile.AgeKey(key, was.At)); err != nil {
			return err
		}
	}
	age := boltfile.AgeKey(key, now)
	record := store.IdempotencyRecord{Fingerprint: once.Fingerprint, At: now, Answer: answer}
	return errors.Join(
		answers.Put(key, boltfile.EncodeAnswer(key, record)),
		ages.Put(age, boltfile.Seal(age, nil)))
}

// checkAnswerBuckets is an error if only one of the two buckets of answers is there: the other one's name is damaged.
func checkAnswerBuckets(snap boltfile.Snapshot) error {
	_, answers := snap.Bucket(boltfile.AnswerBucket)
	_, ages := snap.Bucket(boltfile.AgeBucket)
	if errors.Is(answers, boltfile.ErrNoBucket) != errors.Is(ages, boltfile.ErrNoBucket) {
		return errors.Join(answers, ages)
	}
	return nil
}

// touchAnswers reads the pages that remember will read.
func touchAnswers(snap boltfile.Snapshot, key []byte, now time.Time) error {
	answers, err := snap.Bucket(boltfile.AnswerBucket)
	if errors.Is(err, boltfile.ErrNoBucket) {
		return nil
	}
	if err != nil {
		return err
	}
	ages, err := snap.Bucket(boltfile.AgeBucket)
	if err != nil {
		return err
	}
	record, err := answers.Get(key)
	if err != nil {
		return err
	}
	_, _, err = ages.Leaf(boltfile.AgeKey(key, now))
	if was, damage := decodeAnswer(key, record); err == nil && damage == nil && was != nil {
		err = ages.Around(boltfile.AgeKey(key, was.At))
	}
	return err
}

// decodeAnswer returns what a record of boltfile.AnswerBucket holds, or nil if there is no record. A damaged one is
// ErrUnavailable.
func decodeAnswer(key, record []byte) (*store.IdempotencyRecord, error) {
	if record == nil {
		return nil, nil
	}
	r, err := boltfile.DecodeAnswer(key, record)
	if err != nil {
		return nil, fmt.Errorf("%w: answer %x: %w", store.ErrUnavailable, key, err)
	}
	return r, nil
}
