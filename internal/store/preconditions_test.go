package store_test

import (
	"errors"
	"testing"
	"time"

	"accountservice/internal/store"
)

// The usual cases are in storetest, for every store.
func TestPreconditionsDecide(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	three := &store.Account{ID: "1", Version: 3}
	another := []store.Revision{store.Account{ID: "1", Version: 1}.Revision()}
	once := &store.Idempotency{Key: "k", Fingerprint: store.Fingerprint{1}}
	kept := func(f byte, age time.Duration) *store.IdempotencyRecord {
		return &store.IdempotencyRecord{Fingerprint: store.Fingerprint{f}, At: now.Add(-age), Answer: []byte("answer")}
	}
	for _, c := range []struct {
		name   string
		pre    store.Preconditions
		old    *store.Account
		was    *store.IdempotencyRecord
		replay string
		err    error
	}{
		{"absent before revisions", store.Preconditions{Absent: true, Revisions: another}, three, nil, "", store.ErrExists},
		{"absent and present, none there", store.Preconditions{Absent: true, Present: true}, nil, nil, "", store.ErrVersion},
		{"present and another revision", store.Preconditions{Present: true, Revisions: another}, three, nil, "", store.ErrVersion},
		{"once, other request, before any other term", store.Preconditions{Idempotency: once, Absent: true}, three, kept(2, 0), "", store.ErrKeyReused},
		{"once, too old, and exists", store.Preconditions{Idempotency: once, Absent: true}, three, kept(1, store.IdempotencyRetention), "", store.ErrExists},
		{"once, from the future", store.Preconditions{Idempotency: once}, three, kept(1, -time.Hour), "answer", nil},
	} {
		replay, err := c.pre.Decide(store.Preconditions.AllowPut, c.old, nil, c.was, now)
		if string(replay) != c.replay || (replay != nil) != (c.replay != "") || !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
			t.Errorf("%s: Decide = %q, %v; want %q, %v", c.name, replay, err, c.replay, c.err)
		}
	}
	empty := &store.IdempotencyRecord{Fingerprint: once.Fingerprint, At: now}
	if replay, err := (store.Preconditions{Idempotency: once}).Decide(store.Preconditions.AllowPut, nil, nil, empty, now); replay == nil || err != nil {
		t.Errorf("an empty answer is none: %v, %v", replay, err)
	}
}
