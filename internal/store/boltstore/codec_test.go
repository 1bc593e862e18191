package boltstore

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"accountservice/internal/store"
)

// FuzzAccountRecord: what is valid comes back the same; a record that was
// spoilt in any byte is refused.
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
		record, err := encode(acc)
		if err != nil {
			t.Fatalf("encode(%+v): %v", acc, err)
		}
		got, err := decode([]byte(id), record)
		if err != nil || !got.Equal(acc) || got.CreatedAt.Location() != time.UTC {
			t.Fatalf("%+v came back as %+v, %v", acc, got, err)
		}
		clear(record[:headerSize]) // the result has memory of its own
		if !got.Equal(acc) {
			t.Fatalf("the account changed with its record")
		}
		record, _ = encode(acc)
		if bits == 0 {
			return
		}
		record[int(at)%len(record)] ^= bits
		if got, err := decode([]byte(id), record); err == nil && record[0] != formatLegacy {
			t.Fatalf("spoilt in byte %d: %+v", int(at)%len(record), got)
		}
	})
}

// FuzzRecords: no bytes make a decoder panic, and what it takes can be kept.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("10000"), []byte(`{"id":"10000","name":"Person_0"}`))
	f.Add([]byte("1"), []byte(`{"name":"x","labels":{"a":"b"},"email":"a@b"}`))
	f.Add([]byte("1"), seal([]byte("1"), []byte(`{"name":"x","labels":null}`)))
	f.Add(answerKey("k"), encodeAnswer(answerKey("k"), store.IdempotencyRecord{Answer: []byte("x")}))
	f.Fuzz(func(t *testing.T, key, record []byte) {
		if acc, err := decode(key, record); err == nil {
			again, err := encode(acc)
			if err != nil && acc.CreatedAt.Year() <= 9999 && acc.CreatedAt.Year() >= 0 && acc.UpdatedAt.Year() <= 9999 && acc.UpdatedAt.Year() >= 0 {
				t.Fatalf("%+v can be read and not written: %v", acc, err)
			}
			if err != nil {
				return
			}
			if got, err := decode(key, again); err != nil || !got.Draft.Equal(acc.Draft) || got.Version != acc.Version {
				t.Fatalf("%+v came back as %+v, %v", acc, got, err)
			}
		}
		if r, err := decodeAnswer(key, record); err == nil && r != nil {
			if again := encodeAnswer(key, *r); !bytes.Equal(again, record) {
				t.Fatalf("%x came back as %x", record, again)
			}
		}
	})
}

// Records are what the version before would read, but for its new fields.
func TestRecordsWithoutNewFieldsAreAsBefore(t *testing.T) {
	record, err := encode(store.Account{ID: "1", Draft: store.Draft{Name: "x"}, Version: 2})
	must(t, err)
	if got := string(record[headerSize:]); got != `{"name":"x","version":2}` {
		t.Errorf("record has %s", got)
	}
	record, err = encode(store.Account{ID: "1", Draft: store.Draft{Name: "x", Email: "a@b", Labels: map[string]string{"b": "2", "a": "1"}}, Version: 2})
	must(t, err)
	if got := string(record[headerSize:]); !strings.Contains(got, `"email":"a@b","labels":{"a":"1","b":"2"}`) {
		t.Errorf("record has %s", got)
	}
}
