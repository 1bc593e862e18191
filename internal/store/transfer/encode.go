package transfer

import (
	"fmt"
	"sort"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"accountservice/internal/store"
)

// timeLayout has the same number of digits for every time in UTC, so that texts sort as the times do.
const timeLayout = `"2006-01-02T15:04:05.000000Z"`

// encoding writes members in a fixed order and times in timeLayout.
var encoding = json.JoinOptions(json.Deterministic(true), json.WithMarshalers(json.MarshalToFunc(
	func(enc *jsontext.Encoder, t time.Time) error {
		return enc.WriteValue(t.UTC().AppendFormat(enc.AvailableBuffer(), timeLayout))
	})))

// Marshal returns v as JSON with times in microseconds, in UTC. A list of nothing is [],
// not null. Invalid UTF-8 becomes U+FFFD, so that an account of another program can be read.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, encoding, jsontext.AllowInvalidUTF8(true))
}

// Unmarshal reads JSON as encoding/json does, in half of its time.
func Unmarshal(text []byte, v any) error { return json.Unmarshal(text, v, likeEncodingJSON) }

var likeEncodingJSON = jsonv1.DefaultOptionsV1()

// EncodeAnswer returns acc as it is answered with. It shares the labels of acc.
func EncodeAnswer(acc store.Account) (*store.Encoded, error) {
	text, err := Marshal(acc)
	if err != nil {
		return nil, fmt.Errorf("account %q: %w", acc.ID, err)
	}
	return &store.Encoded{Account: acc, Revision: acc.Revision(), JSON: append(text, '\n')}, nil
}

// encodePage returns the accounts of a page as lines, with those that are damaged in their places.
func encodePage(page store.Page) (lines []byte, err error) {
	accounts := page.Accounts
	for _, id := range page.Damaged {
		before := sort.Search(len(accounts), func(i int) bool { return accounts[i].ID > id })
		whole, err := Encode(accounts[:before])
		if err != nil {
			return nil, err
		}
		damaged, err := EncodeDamaged(id)
		if err != nil {
			return nil, err
		}
		lines, accounts = append(append(lines, whole...), damaged...), accounts[before:]
	}
	rest, err := Encode(accounts)
	return append(lines, rest...), err
}

// Encode returns the accounts as lines. They have no version or times if an account has none.
func Encode(accounts []store.Account) (lines []byte, err error) {
	for _, acc := range accounts {
		acc.Version = min(acc.Version, store.MaxVersion) // a file from before that limit may have more
		text, err := json.Marshal(acc, encoding)
		if err != nil {
			return nil, fmt.Errorf("account %q: %w", acc.ID, err) // of a file that another program wrote
		}
		lines = append(append(lines, text...), '\n')
	}
	return lines, nil
}
