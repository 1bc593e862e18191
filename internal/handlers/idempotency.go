package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

const idempotencyHeader = "Idempotency-Key"

var wellFormedKey = regexp.MustCompile(`^[ -~]+$`)

func idempotencyParameter() *huma.Param {
	key := text(255, "Of the client's choice, for one request: repeated within 24 hours it gets the first one's "+
		"answer and changes nothing", "8e03978e-40d5-43dd-bc93-6894a57f9324")
	key.Pattern = wellFormedKey.String()
	return &huma.Param{Name: idempotencyHeader, In: "header", Description: key.Description, Schema: key}
}

// callersKey returns the idempotency key of a request, with its caller, or "" if it has none. Without the name of a
// caller, requests of one Authorization have one caller: what asks for it is in front of this service then.
func callersKey(r *http.Request, name string) (string, error) {
	keys, given := r.Header[idempotencyHeader]
	if !given {
		return "", nil
	}
	if len(keys) != 1 || len(keys[0]) > 255 || !wellFormedKey.MatchString(keys[0]) {
		return "", malformed(idempotencyHeader, "must be one of 1 to 255 printable ASCII characters")
	}
	caller := digest(name)
	if name == "" {
		caller = digest(r.Header.Values("Authorization")...)
	}
	return base64.RawURLEncoding.EncodeToString(caller[:]) + ":" + keys[0], nil
}

// digest hashes each part behind its length, so that no two lists of parts are one text.
func digest(parts ...string) [sha256.Size]byte {
	var text []byte
	for _, part := range parts {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

// remembered is what the store keeps of the answer to a write under a key.
func remembered(w store.Written) []byte { return marshal(written(w)) }
