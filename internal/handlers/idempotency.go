package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

const idempotencyHeader = "Idempotency-Key"

var wellFormedKey = regexp.MustCompile(`^[ -~]{1,255}$`)

// idempotencyParameter describes the header in the document.
func idempotencyParameter() *huma.Param {
	key := text(1, 255, "Of the client's choice, for one request: repeated within 24 hours it gets the first one's "+
		"answer and changes nothing", "8e03978e-40d5-43dd-bc93-6894a57f9324")
	key.Pattern = "^[ -~]+$"
	return &huma.Param{Name: idempotencyHeader, In: "header", Description: key.Description, Schema: key}
}

// idempotencyOf returns the key of a request and its fingerprint, or nil if it
// has no key. The key holds the caller too, the fingerprint all else that makes
// a request another one.
func idempotencyOf(r *http.Request, body []byte) (*store.Idempotency, error) {
	keys, given := r.Header[idempotencyHeader]
	if !given {
		return nil, nil
	}
	if len(keys) != 1 || !wellFormedKey.MatchString(keys[0]) {
		return nil, malformed(idempotencyHeader, "must be one of 1 to 255 printable ASCII characters")
	}
	var caller [][]byte
	for _, line := range r.Header.Values("Authorization") {
		caller = append(caller, []byte(line))
	}
	name := digest(caller...)
	request := digest([]byte(r.Method), []byte(r.URL.EscapedPath()), []byte(r.URL.RawQuery),
		[]byte(r.Header.Get("Content-Type")), []byte(r.Header.Get("If-Match")), body)
	key := base64.RawURLEncoding.EncodeToString(name[:]) + ":" + keys[0]
	return &store.Idempotency{Key: key, Fingerprint: request, Answer: remembered}, nil
}

// digest hashes each part behind its length, so that no two lists of parts are
// one text.
func digest(parts ...[]byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write(part)
	}
	hash.Sum(sum[:0])
	return sum
}

// written is the answer to a Put or Update.
func written(w store.Written) *accountOutput {
	if w.Created {
		return newOutput(http.StatusCreated, w.Account)
	}
	return newOutput(http.StatusOK, w.Account)
}

// remembered is what the store keeps of the answer to a write.
func remembered(w store.Written) []byte {
	text, err := json.Marshal(written(w))
	if err != nil {
		panic(err) // strings and times always encode
	}
	return text
}
