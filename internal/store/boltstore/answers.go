package boltstore

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

const (
	// forgetEach is how many answers that are too old go with each write, with a
	// key or without. More than one, so that what piled up comes down.
	forgetEach = 2
	// forgetMost is how many of them one transaction removes: each is some reads.
	forgetMost = 32
	// forgetRetry is how long none is looked for when they could not be read.
	forgetRetry = 10 * time.Minute
)

// remembered returns what is remembered under a key, or nil.
func remembered(tx *bbolt.Tx, key string) (*store.IdempotencyRecord, error) {
	answers := tx.Bucket(boltfile.AnswerBucket)
	if answers == nil {
		return nil, nil
	}
	return decodeAnswer(boltfile.AnswerKey(key), answers.Get(boltfile.AnswerKey(key)))
}

// remember keeps the answer to a write in place of what was under its key.
func remember(tx *bbolt.Tx, once *store.Idempotency, written store.Written, was *store.IdempotencyRecord, now time.Time) error {
	answer, err := answerTo(once, written)
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
	return errors.Join(
		answers.Put(key, boltfile.EncodeAnswer(key, store.IdempotencyRecord{Fingerprint: once.Fingerprint, At: now, Answer: answer})),
		ages.Put(age, boltfile.Seal(age, nil)))
}

// answerTo asks for the answer.
func answerTo(once *store.Idempotency, written store.Written) (answer []byte, err error) {
	err = callersOwn("making the answer", func() error { answer = once.Answer(written); return nil })
	if err == nil && len(answer) > store.MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, and %d are kept", len(answer), store.MaxAnswer)
	}
	return answer, err
}

// forget removes up to most answers that are too old. No write fails of it: what
// cannot be read stays, and is for verify to report.
func (s *Store) forget(tx *bbolt.Tx, snap boltfile.Snapshot, most int) {
	if time.Now().Before(s.forgets) {
		return
	}
	old, err := s.oldest(snap, most)
	if err != nil {
		s.forgets = time.Now().Add(forgetRetry) // a disk can take seconds to say that it can't
		return
	}
	if len(old) == 0 {
		return
	}
	answers, ages := tx.Bucket(boltfile.AnswerBucket), tx.Bucket(boltfile.AgeBucket)
	for _, age := range old {
		if ages.Get(age.key) != nil { // else a write of this batch used the key again
			answers.Delete(age.answer)
			ages.Delete(age.key)
		}
	}
}

// expired is an answer that is too old, by its keys in boltfile.AgeBucket and boltfile.AnswerBucket.
type expired struct{ key, answer []byte }

// oldest returns up to most answers that are too old, and reads the pages that their removal will read.
func (s *Store) oldest(snap boltfile.Snapshot, most int) (old []expired, err error) {
	now := s.now()
	answers, err := snap.Bucket(boltfile.AnswerBucket)
	if errors.Is(err, boltfile.ErrNoBucket) {
		return nil, nil // no write of this file had a key yet
	}
	if err != nil {
		return nil, err
	}
	ages, err := snap.Bucket(boltfile.AgeBucket)
	if err != nil {
		return nil, err
	}
	err = ages.After([]byte{}, func(k, _ []byte) bool {
		at, answer, err := boltfile.ParseAgeKey(k)
		if err != nil || now.Sub(at) < store.IdempotencyRetention {
			return false
		}
		old = append(old, expired{k, answer})
		return len(old) < most
	})
	for _, age := range old {
		s.progress()
		if err == nil {
			err = answers.Around(age.answer)
		}
		if err == nil {
			err = ages.Around(age.key)
		}
	}
	return old, err
}

// touchAnswers reads the pages that remember will read.
func touchAnswers(snap boltfile.Snapshot, key string, now time.Time) error {
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
	record, err := answers.Get(boltfile.AnswerKey(key))
	if err != nil {
		return err
	}
	_, err = ages.Get(boltfile.AgeKey(boltfile.AnswerKey(key), now))
	if was, damage := decodeAnswer(boltfile.AnswerKey(key), record); err == nil && damage == nil && was != nil {
		err = ages.Around(boltfile.AgeKey(boltfile.AnswerKey(key), was.At))
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
