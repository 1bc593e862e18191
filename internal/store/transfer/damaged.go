package transfer

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"accountservice/internal/store"
)

// damagedLine is what an export has in place of an account whose record is damaged.
type damagedLine struct {
	ID *string `json:"damaged"` // of the account; it can be any text, for the damage may be in it
}

const damagedPrefix = `{"damaged":`

// EncodeDamaged returns the line of a damaged account.
func EncodeDamaged(id store.ID) ([]byte, error) {
	text, err := json.Marshal(damagedLine{new(string(id))}, jsontext.AllowInvalidUTF8(true))
	return append(text, '\n'), err
}

func isDamaged(line []byte) bool {
	var d damagedLine
	text := bytes.TrimPrefix(line, byteOrderMark)
	return json.Unmarshal(text, &d, json.RejectUnknownMembers(true)) == nil && d.ID != nil
}

// Tally counts the lines of an export that are written to it.
type Tally struct {
	Accounts, Damaged int
	begin             []byte // of the line at hand
}

// Write implements io.Writer.
func (t *Tally) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		t.begin = append(t.begin, part[:min(len(part), len(damagedPrefix)-len(t.begin))]...)
		switch {
		case part[len(part)-1] != '\n':
			continue
		case string(t.begin) == damagedPrefix:
			t.Damaged++
		default:
			t.Accounts++
		}
		t.begin = t.begin[:0]
	}
	return len(p), nil
}
