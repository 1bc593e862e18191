package boltfile_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
	"accountservice/internal/store/boltstore/boltfile"
)

// sealSize is the number of bytes before the content of a record.
const sealSize = 5

// FuzzAccountRecord: what is valid comes back the same; a record that was spoilt in any byte is refused.
func FuzzAccountRecord(f *testing.F) {
	f.Add("10000", "Person_0", "", "", "", int64(1), int64(0), uint16(3), byte(1))
	f.Add("a.b_c~d-1", "Zoë “quoted” \\ <&>\u2028", "a@example.org", "team", "日本 🙂", int64(store.MaxVersion), int64(1_767_225_600_000_000), uint16(0), byte(0x80))
	f.Fuzz(func(t *testing.T, id, name, email, key, value string, version, micros int64, at uint16, bits byte) {
		acc := store.Account{ID: store.ID(id), Draft: store.Draft{Name: name, Email: email}, Version: version}
		if key != "" {
			acc.Labels = map[string]string{key: value, "other": name}
		}
		if micros != 0 {
			acc.CreatedAt = time.UnixMicro(micros).UTC()
			acc.UpdatedAt = acc.CreatedAt
		}
		if acc.Validate() != nil {
			return
		}
		record, err := boltfile.EncodeAccount(acc)
		if err != nil {
			t.Fatalf("boltfile.EncodeAccount(%+v): %v", acc, err)
		}
		got, err := boltfile.DecodeAccount([]byte(id), record)
		if err != nil || !got.Equal(acc) || got.CreatedAt.Location() != time.UTC {
			t.Fatalf("%+v came back as %+v, %v", acc, got, err)
		}
		clear(record[:sealSize]) // the result has memory of its own
		if !got.Equal(acc) {
			t.Fatalf("the account changed with its record")
		}
		record, _ = boltfile.EncodeAccount(acc)
		if bits == 0 {
			return
		}
		record[int(at)%len(record)] ^= bits
		if got, err := boltfile.DecodeAccount([]byte(id), record); err == nil && !boltfile.IsLegacy(record) {
			t.Fatalf("spoilt in byte %d: %+v", int(at)%len(record), got)
		}
	})
}

// FuzzRecords: no bytes make a decoder panic, and what it takes can be kept.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("10000"), []byte(`{"id":"10000","name":"Person_0"}`))
	f.Add([]byte("1"), []byte(`{"name":"x","labels":{"a":"b"},"email":"a@b"}`))
	f.Add([]byte("1"), boltfile.Seal([]byte("1"), []byte(`{"name":"x","labels":null}`)))
	f.Add(boltfile.AnswerKey("k"), boltfile.EncodeAnswer(boltfile.AnswerKey("k"), store.IdempotencyRecord{Answer: []byte("x")}))
	f.Fuzz(func(t *testing.T, key, record []byte) {
		if acc, err := boltfile.DecodeAccount(key, record); err == nil {
			again, err := boltfile.EncodeAccount(acc)
			if err != nil && acc.CreatedAt.Year() <= 9999 && acc.CreatedAt.Year() >= 0 && acc.UpdatedAt.Year() <= 9999 && acc.UpdatedAt.Year() >= 0 {
				t.Fatalf("%+v can be read and not written: %v", acc, err)
			}
			if err != nil {
				return
			}
			if got, err := boltfile.DecodeAccount(key, again); err != nil || !got.Draft.Equal(acc.Draft) || got.Version != acc.Version {
				t.Fatalf("%+v came back as %+v, %v", acc, got, err)
			}
		}
		if r, err := boltfile.DecodeAnswer(key, record); err == nil {
			if again := boltfile.EncodeAnswer(key, *r); !bytes.Equal(again, record) {
				t.Fatalf("%x came back as %x", record, again)
			}
		}
	})
}

// Records are what the version before would read, but for its new fields.
func TestRecordsWithoutNewFieldsAreAsBefore(t *testing.T) {
	record, err := boltfile.EncodeAccount(store.Account{ID: "1", Draft: store.Draft{Name: "x"}, Version: 2})
	must(t, err)
	if got := string(record[sealSize:]); got != `{"name":"x","version":2}` {
		t.Errorf("record has %s", got)
	}
	record, err = boltfile.EncodeAccount(store.Account{ID: "1", Draft: store.Draft{Name: "x", Email: "a@b", Labels: map[string]string{"b": "2", "a": "1"}}, Version: 2})
	must(t, err)
	if got := string(record[sealSize:]); !strings.Contains(got, `"email":"a@b","labels":{"a":"1","b":"2"}`) {
		t.Errorf("record has %s", got)
	}
}

func TestRecordUnderAnotherKeyIsDamage(t *testing.T) {
	record, err := boltfile.EncodeAccount(store.Account{ID: "1", Draft: store.Draft{Name: "x"}, Version: 1})
	must(t, err)
	if _, err := boltfile.DecodeAccount([]byte("1"), record); err != nil {
		t.Errorf("DecodeAccount: %v", err)
	}
	if _, err := boltfile.DecodeAccount([]byte("2"), record); err == nil {
		t.Errorf("DecodeAccount under another key gives no error")
	}
	for i := range record {
		spoilt := bytes.Clone(record)
		spoilt[i] ^= 0x10
		if _, err := boltfile.DecodeAccount([]byte("1"), spoilt); err == nil {
			t.Errorf("a bit flipped in byte %d is not seen", i)
		}
	}
}

// The records that are in every database of this service, byte by byte. The checksum of "123456789" is the check value
// that RFC 3720 gives for CRC-32C.
func TestSealedRecordIsTheOneOfTheFormat(t *testing.T) {
	if got := boltfile.Seal([]byte("1234"), []byte("56789")); string(got) != "\x01\xe3\x06\x92\x8356789" {
		t.Errorf("Seal = %x", got)
	}
	at := time.UnixMicro(1_767_225_600_000_001).UTC()
	age := boltfile.AgeKey(boltfile.AnswerKey("k"), at)
	if back, key, err := boltfile.ParseAgeKey(age); err != nil || !back.Equal(at) || !bytes.Equal(key, boltfile.AnswerKey("k")) {
		t.Errorf("ParseAgeKey = %v, %x, %v", back, key, err)
	}
	if _, _, err := boltfile.ParseAgeKey(age[1:]); err == nil {
		t.Error("ParseAgeKey of a shorter key gives no error")
	}
}
