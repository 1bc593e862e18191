package boltfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// Buckets, and keys in MetaBucket. AccountBucket is the name that the tutorial uses, so that its files open.
var (
	AccountBucket = []byte("AccountBucket")  // account id -> account
	MetaBucket    = []byte("accountservice") // this service's own records; the tutorial's files do not have it
	AnswerBucket  = []byte("answers")        // AnswerKey -> idempotency record; made by the first write with a key
	AgeBucket     = []byte("answers by age") // AgeKey -> nothing; one for each idempotency record, oldest first

	// Buckets are all of them.
	Buckets = [][]byte{AccountBucket, MetaBucket, AnswerBucket, AgeBucket}

	SentinelKey = []byte("sentinel") // SentinelText: never changes, read by health checks
	SeededKey   = []byte("seeded")   // Seed puts nothing any more
	SeedingKey  = []byte("seeding")  // Seed has begun, and not ended
	IdentityKey = []byte("identity") // random text: which database this is
	CopiesKey   = []byte("copies")   // newer copies beside the database, one a line

	SentinelText = []byte("this file belongs to accountservice")
)

// A sealed record is a value in one of these buckets: one byte of format, the checksum of key and content (4 bytes,
// big-endian), the content. The checksum is CRC-32C (Castagnoli), as in RFC 3720, appendix B.4. It covers the key, so
// that a record under another record's key is damage.
//
// The content of an account is JSON. Accounts of the tutorial are JSON alone, without a seal:
// {"id":"10000","name":"Person_0"}. They are read as they are.
const (
	formatSealed = 0x01
	formatLegacy = '{'
	sealSize     = 5 // in bytes, of format and checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal returns the sealed record of content under key.
func Seal(key, content []byte) []byte {
	record := make([]byte, sealSize, sealSize+len(content))
	record[0] = formatSealed
	binary.BigEndian.PutUint32(record[1:], checksum(key, content))
	return append(record, content...)
}

// Unseal returns the content of a record under key, as part of the record's memory. A record that is not sealed, or
// was changed, is an error.
func Unseal(key, record []byte) ([]byte, error) {
	switch {
	case !IsSealed(record):
		return nil, errors.New("its record is damaged: unknown format")
	case binary.BigEndian.Uint32(record[1:]) != checksum(key, record[sealSize:]):
		return nil, errors.New("its record is damaged: wrong checksum")
	}
	return record[sealSize:], nil
}

// UnsealOwn is Unseal of a record of MetaBucket. The sentinel must have its text.
func UnsealOwn(key, record []byte) ([]byte, error) {
	content, err := Unseal(key, record)
	if err == nil && bytes.Equal(key, SentinelKey) && !bytes.Equal(content, SentinelText) {
		err = errors.New("not the text of this service")
	}
	return content, err
}

// IsSealed says whether the record has the form of a sealed one.
func IsSealed(record []byte) bool { return len(record) >= sealSize && record[0] == formatSealed }

// IsLegacy says whether the record has the tutorial's form, which has no checksum.
func IsLegacy(record []byte) bool { return len(record) > 0 && record[0] == formatLegacy }

// isWhole reports whether this is a sealed record of key, and whole.
func isWhole(key, record []byte) bool {
	_, err := Unseal(key, record)
	return err == nil
}

func checksum(key, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, content)
}

// account is store.Account without its id, which is the record's key.
type account struct {
	ID *struct{} `json:"id,omitempty"` // hides that of Account
	store.Account
	Version int64 `json:"version"` // is never omitted: a record without one has version 1
}

// EncodeAccount returns the record of an account, to be put under its id.
func EncodeAccount(acc store.Account) ([]byte, error) {
	content, err := json.Marshal(account{Account: acc, Version: acc.Version})
	if err != nil {
		return nil, err
	}
	return Seal([]byte(acc.ID), content), nil
}

// DecodeAccount returns the account that key and record hold. It shares no memory with them. Beside an error it has
// the id alone.
func DecodeAccount(key, record []byte) (store.Account, error) {
	content, err := record, error(nil)
	if !IsLegacy(record) {
		if content, err = Unseal(key, record); err != nil {
			return store.Account{ID: store.ID(key)}, err
		}
	}
	acc := store.Account{Version: 1}
	if err := transfer.Unmarshal(content, &acc); err != nil {
		return store.Account{ID: store.ID(key)}, fmt.Errorf("its record is damaged: %w", err)
	}
	acc.ID = store.ID(key)
	acc.CreatedAt, acc.UpdatedAt = acc.CreatedAt.UTC(), acc.UpdatedAt.UTC()
	if len(acc.Labels) == 0 {
		acc.Labels = nil
	}
	return acc, nil
}

// The content of an idempotency record: fingerprint, time of the write (microseconds since 1970, 8 bytes, big-endian),
// answer.
const (
	fingerprintSize = len(store.Fingerprint{})
	timeSize        = 8
)

// AnswerKey returns the key in AnswerBucket of the record under an idempotency key: its SHA-256.
func AnswerKey(idempotencyKey string) []byte {
	sum := sha256.Sum256([]byte(idempotencyKey))
	return sum[:]
}

// EncodeAnswer returns the record of r, to be put under key, an AnswerKey. The time is cut to microseconds.
func EncodeAnswer(key []byte, r store.IdempotencyRecord) []byte {
	content := make([]byte, 0, fingerprintSize+timeSize+len(r.Answer))
	content = append(content, r.Fingerprint[:]...)
	content = binary.BigEndian.AppendUint64(content, uint64(r.At.UnixMicro()))
	return Seal(key, append(content, r.Answer...))
}

// DecodeAnswer returns what key and record hold. It shares no memory with them.
func DecodeAnswer(key, record []byte) (*store.IdempotencyRecord, error) {
	content, err := Unseal(key, record)
	if err != nil {
		return nil, err
	}
	if len(content) < fingerprintSize+timeSize {
		return nil, errors.New("its record is damaged: it is too short")
	}
	r := &store.IdempotencyRecord{Fingerprint: store.Fingerprint(content[:fingerprintSize])}
	content = content[fingerprintSize:]
	r.At = time.UnixMicro(int64(binary.BigEndian.Uint64(content))).UTC()
	r.Answer = append([]byte{}, content[timeSize:]...)
	return r, nil
}

// AgeKey returns the key in AgeBucket of the record under key, an AnswerKey, that was written at this time: time (as
// in the record), key. The keys are in order of time for all times after 1970.
func AgeKey(key []byte, at time.Time) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), key...)
}

// ParseAgeKey returns what AgeKey was given, the key as part of age's memory.
func ParseAgeKey(age []byte) (at time.Time, key []byte, err error) {
	if len(age) != timeSize+sha256.Size {
		return time.Time{}, nil, fmt.Errorf("its key has %d bytes: unknown format", len(age))
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(age))), age[timeSize:], nil
}

// CheckAge returns an error if key and record are not those of an age in AgeBucket.
func CheckAge(key, record []byte) error {
	rest, err := Unseal(key, record)
	if len(rest) > 0 {
		err = errors.New("its record is damaged: unknown format")
	}
	if _, _, wrong := ParseAgeKey(key); err != nil || wrong != nil {
		return fmt.Errorf("age of answer %.80x: %w", key, errors.Join(err, wrong))
	}
	return nil
}
