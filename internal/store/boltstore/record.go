package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"accountservice/internal/store"
)

// A record is the value beside an account's key, its id: one byte of format,
// CRC-32C (RFC 3720, appendix B.4) of key and content, big-endian, and the
// content as JSON. Records of the tutorial this service grew from are JSON
// alone, {"id":"10000","name":"Person_0"}; they are read as they are.
const (
	formatChecked = 0x01
	formatLegacy  = '{'
	headerSize    = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// content is an account without its id, which is the record's key.
type content struct {
	ID *struct{} `json:"id,omitempty"` // hides that of Account
	store.Account
}

func encode(acc store.Account) ([]byte, error) {
	payload, err := json.Marshal(content{Account: acc})
	if err != nil {
		return nil, err
	}
	return seal([]byte(acc.ID), payload), nil
}

// decode returns the account that key and record hold, sharing no memory with
// them. A damaged one is ErrUnavailable.
func decode(key, record []byte) (store.Account, error) {
	payload, err := unseal(key, record)
	if err != nil {
		return store.Account{ID: store.ID(key)}, fmt.Errorf("%w: account %q: %w", store.ErrUnavailable, key, err)
	}
	acc := store.Account{Version: 1}
	err = json.Unmarshal(payload, &acc)
	acc.ID = store.ID(key)
	if err != nil {
		return acc, fmt.Errorf("%w: account %q: its record is damaged: %w", store.ErrUnavailable, key, err)
	}
	acc.CreatedAt, acc.UpdatedAt = acc.CreatedAt.UTC(), acc.UpdatedAt.UTC()
	if len(acc.Labels) == 0 {
		acc.Labels = nil
	}
	return acc, nil
}

func seal(key, payload []byte) []byte {
	record := make([]byte, headerSize, headerSize+len(payload))
	record[0] = formatChecked
	binary.BigEndian.PutUint32(record[1:], checksum(key, payload))
	return append(record, payload...)
}

func unseal(key, record []byte) ([]byte, error) {
	switch {
	case len(record) > 0 && record[0] == formatLegacy:
		return record, nil
	case len(record) < headerSize || record[0] != formatChecked:
		return nil, fmt.Errorf("its record is damaged: unknown format")
	case binary.BigEndian.Uint32(record[1:]) != checksum(key, record[headerSize:]):
		return nil, fmt.Errorf("its record is damaged: wrong checksum")
	}
	return record[headerSize:], nil
}

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}
