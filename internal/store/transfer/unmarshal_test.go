package transfer_test

import (
	"encoding/json"
	"testing"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// Databases have records that encoding/json read and wrote.
func TestUnmarshalReadsWhatEncodingJSONReads(t *testing.T) {
	for _, text := range []string{
		`{"name":"a","labels":{"a":"b"},"version":3,"created_at":"2026-11-29T22:03:48.876743Z"}`,
		`{"id":"x","Name":"y","NAME":"z","labels":{"a":"b","a":"c"}}`, "{\"name\":\"\xff\",\"email\":\"\\ud800\"}",
		`{"name":null,"version":null,"labels":null,"created_at":null}`, `null`, ` {"name":"a"} `, `{"labels":{"a":null}}`,
		`{"created_at":"2026-11-29T22:03:48,5+01:00"}`, `{"created_at":"2026-11-29t22:03:48z"}`, `{"unknown":[{}]}`,
		`{"version":1.0}`, `{"version":1e2}`, `{"version":"1"}`, `{"version":9223372036854775808}`, `{"id":5}`, `{"name":"a"} x`, ``,
	} {
		want, got := store.Account{Version: 1}, store.Account{Version: 1}
		before, now := json.Unmarshal([]byte(text), &want), transfer.Unmarshal([]byte(text), &got)
		if (before == nil) != (now == nil) || before == nil && !got.Equal(want) {
			t.Errorf("%q is %+v, %v; encoding/json says %+v, %v", text, got, now, want, before)
		}
	}
}
