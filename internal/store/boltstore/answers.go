package boltstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"accountservice/internal/store"
)

// The answers of writes that happen once are in two buckets, made by the first
// such write. One has under the SHA-256 of the key a sealed record: fingerprint,
// time of the write in microseconds since 1970 (8 bytes, big-endian), answer.
// The other has for each answer its time and then its key, to find the oldest,
// over an empty sealed record.
var (
	answerBucket = []byte("answers")
	ageBucket    = []byte("answers by age")
)

const (
	fingerprintSize = len(store.Fingerprint{})
	timeSize        = 8
)

// remembered returns what is remembered under a key, or nil.
func remembered(tx *bbolt.Tx, key string) (*store.IdempotencyRecord, error) {
	answers := tx.Bucket(answerBucket)
	if answers == nil {
		return nil, nil
	}
	return decodeAnswer(answerKey(key), answers.Get(answerKey(key)))
}

// remember keeps the answer to a write in place of what was under its key.
func remember(tx *bbolt.Tx, once *store.Idempotency, written store.Written, was *store.IdempotencyRecord, now time.Time) error {
	answer, err := answerTo(once, written)
	if err != nil {
		return err
	}
	answers, err := tx.CreateBucketIfNotExists(answerBucket)
	if err != nil {
		return err
	}
	ages, err := tx.CreateBucketIfNotExists(ageBucket)
	if err != nil {
		return err
	}
	key := answerKey(once.Key)
	if was != nil {
		if err := ages.Delete(ageKey(key, was.At)); err != nil {
			return err
		}
	}
	age := ageKey(key, now)
	return errors.Join(
		answers.Put(key, encodeAnswer(key, store.IdempotencyRecord{Fingerprint: once.Fingerprint, At: now, Answer: answer})),
		ages.Put(age, seal(age, nil)))
}

// answerTo asks for the answer.
func answerTo(once *store.Idempotency, written store.Written) (answer []byte, err error) {
	err = callersOwn("making the answer", func() error { answer = once.Answer(written); return nil })
	if err == nil && len(answer) > store.MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, and %d are kept", len(answer), store.MaxAnswer)
	}
	return answer, err
}

// touchAnswers reads the pages that remember will read.
func touchAnswers(snap snapshot, key string, now time.Time) error {
	answers, err := snap.bucket(answerBucket)
	if errors.Is(err, errNoBucket) {
		return nil
	}
	if err != nil {
		return err
	}
	ages, err := snap.bucket(ageBucket)
	if err != nil {
		return err
	}
	record, err := answers.get(answerKey(key))
	if err != nil {
		return err
	}
	_, err = ages.get(ageKey(answerKey(key), now))
	if was, damage := decodeAnswer(answerKey(key), record); err == nil && damage == nil && was != nil {
		err = ages.around(ageKey(answerKey(key), was.At))
	}
	return err
}

func answerKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

func ageKey(key []byte, at time.Time) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), key...)
}

func encodeAnswer(key []byte, r store.IdempotencyRecord) []byte {
	payload := make([]byte, 0, fingerprintSize+timeSize+len(r.Answer))
	payload = append(payload, r.Fingerprint[:]...)
	payload = binary.BigEndian.AppendUint64(payload, uint64(r.At.UnixMicro()))
	return seal(key, append(payload, r.Answer...))
}

// decodeAnswer returns what a record of answerBucket holds, sharing no memory
// with it; of no record, nil. A damaged one is ErrUnavailable.
func decodeAnswer(key, record []byte) (*store.IdempotencyRecord, error) {
	if record == nil {
		return nil, nil
	}
	payload, err := unseal(key, record)
	if err == nil && (record[0] != formatChecked || len(payload) < fingerprintSize+timeSize) {
		err = errors.New("its record is damaged: it is too short")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: answer %x: %w", store.ErrUnavailable, key, err)
	}
	r := &store.IdempotencyRecord{Fingerprint: store.Fingerprint(payload[:fingerprintSize])}
	payload = payload[fingerprintSize:]
	r.At = time.UnixMicro(int64(binary.BigEndian.Uint64(payload))).UTC()
	r.Answer = append([]byte{}, payload[timeSize:]...)
	return r, nil
}

// answer is the walker's visit of an answer.
func (w *walker) answer(p page, i int) {
	if !w.plain(p, i) {
		return
	}
	w.answers++
	if _, err := decodeAnswer(p.key(i), p.value(i)); err != nil {
		w.find(at(p.id), "%v", err)
	}
}

// age is the walker's visit of the age of an answer.
func (w *walker) age(p page, i int) {
	if !w.plain(p, i) {
		return
	}
	w.ages++
	rest, err := unseal(p.key(i), p.value(i))
	if err == nil && (len(p.key(i)) != timeSize+sha256.Size || len(rest) > 0) {
		err = errors.New("its record is damaged: unknown format")
	}
	if err != nil {
		w.find(at(p.id), "age of answer %.80x: %v", p.key(i), err)
	}
}
