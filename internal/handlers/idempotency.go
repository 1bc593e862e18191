package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/http"
	"regexp"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/go-json-experiment/json"

	"accountservice/internal/store"
)

const idempotencyHeader = "Idempotency-Key"

// IdempotencyKey is a part of inputs. It is exported because huma can fill an
// embedded struct only then.
type IdempotencyKey struct {
	Key string `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" doc:"Of the client's choice, for one request: repeated within 24 hours it gets the first one's answer and changes nothing" example:"8e03978e-40d5-43dd-bc93-6894a57f9324"`
}

var wellFormedKey = regexp.MustCompile(`^[ -~]{1,255}$`)

// attempt is one try of a request that is to happen once.
type attempt struct {
	key         string // with its caller
	fingerprint store.Fingerprint
}

type attemptKey struct{}

// attemptOf is that of the request that ctx belongs to, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// onlyOnce reads the key of a POST or PATCH and lets one request with it happen
// at a time. Whatever way the request ends, the next may begin then, and learns
// from the store what the one before did.
func (a API) onlyOnce(ctx huma.Context, next func(huma.Context)) {
	c := humagin.Unwrap(ctx)
	keys, given := c.Request.Header[idempotencyHeader]
	if !given || !takesKey(ctx.Operation()) {
		next(ctx)
		return
	}
	if len(keys) != 1 || !wellFormedKey.MatchString(keys[0]) {
		write(c, malformed(idempotencyHeader, "must be one of 1 to 255 printable ASCII characters"))
		return
	}
	try := newAttempt(c.Request, keys[0])
	if !a.inFlight.begin(try.key) {
		write(c, inFlight())
		return
	}
	defer a.inFlight.end(try.key)
	next(huma.WithValue(ctx, attemptKey{}, try))
}

func takesKey(op *huma.Operation) bool {
	for _, p := range op.Parameters {
		if p.Name == idempotencyHeader {
			return true
		}
	}
	return false
}

// newAttempt hashes all that makes a request another one: caller and key into
// the key, the rest into the fingerprint.
func newAttempt(r *http.Request, key string) *attempt {
	caller, request := sha256.New(), sha256.New()
	for _, line := range r.Header.Values("Authorization") {
		hashPart(caller, []byte(line))
	}
	try := &attempt{key: base64.RawURLEncoding.EncodeToString(caller.Sum(nil)) + ":" + key}
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("If-Match")} {
		hashPart(request, []byte(part))
	}
	if body, ok := r.Body.(*memory); ok {
		hashPart(request, body.text)
	}
	request.Sum(try.fingerprint[:0])
	return try
}

// hashPart writes part behind its length, so that no two lists of parts are one text.
func hashPart(digest hash.Hash, part []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	digest.Write(length[:])
	digest.Write(part)
}

// once is what the store is told of the attempt: to remember the answer that
// render makes. The nil attempt is remembered nowhere.
func (t *attempt) once(render func(store.Written) *accountOutput) *store.Idempotency {
	if t == nil {
		return nil
	}
	return &store.Idempotency{Key: t.key, Fingerprint: t.fingerprint, Answer: func(w store.Written) []byte {
		text, err := json.Marshal(render(w))
		if err != nil {
			panic(err) // strings and times always encode
		}
		return text
	}}
}

// replayed is an answer that was remembered.
func replayed(answer []byte) (*accountOutput, error) {
	var out accountOutput
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, err
	}
	out.Replayed = "true"
	return &out, nil
}

// attempts are the keys of the requests under way; there are no more of them
// than requests are admitted.
type attempts struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (a *attempts) begin(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys[key] {
		return false
	}
	if a.keys == nil {
		a.keys = make(map[string]bool)
	}
	a.keys[key] = true
	return true
}

func (a *attempts) end(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.keys, key)
}
