package store

import (
	"errors"
	"testing"
	"time"
)

func TestPreconditionsDecide(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	three := &Account{ID: "1", Version: 3}
	at := func(versions ...int64) []Revision {
		list := []Revision{}
		for _, v := range versions {
			list = append(list, Account{ID: "1", Version: v}.Revision())
		}
		return list
	}
	once := &Idempotency{Key: "k", Fingerprint: Fingerprint{1}}
	kept := func(f byte, age time.Duration) *IdempotencyRecord {
		return &IdempotencyRecord{Fingerprint: Fingerprint{f}, At: now.Add(-age), Answer: []byte("answer")}
	}
	for _, c := range []struct {
		name   string
		pre    Preconditions
		old    *Account
		was    *IdempotencyRecord
		replay string
		err    error
	}{
		{"no revision at all", Preconditions{Revisions: at()}, three, nil, "", ErrVersion},
		{"no revision at all, none there", Preconditions{Revisions: at()}, nil, nil, "", ErrVersion},
		{"absent before revisions", Preconditions{Absent: true, Revisions: at(1)}, three, nil, "", ErrExists},
		{"absent and present, none there", Preconditions{Absent: true, Present: true}, nil, nil, "", ErrVersion},
		{"present and another revision", Preconditions{Present: true, Revisions: at(1)}, three, nil, "", ErrVersion},

		{"once, new, but exists", Preconditions{Idempotency: once, Absent: true}, three, nil, "", ErrExists},
		{"once, again, before any other term", Preconditions{Idempotency: once, Absent: true, Revisions: at(1)}, three, kept(1, 0), "answer", nil},
		{"once, other request, before any other term", Preconditions{Idempotency: once, Absent: true}, three, kept(2, 0), "", ErrKeyReused},
		{"once, a moment before its end", Preconditions{Idempotency: once}, three, kept(1, IdempotencyRetention-1), "answer", nil},
		{"once, too old", Preconditions{Idempotency: once}, three, kept(1, IdempotencyRetention), "", nil},
		{"once, other request, too old", Preconditions{Idempotency: once}, three, kept(2, IdempotencyRetention), "", nil},
		{"once, too old, and exists", Preconditions{Idempotency: once, Absent: true}, three, kept(1, IdempotencyRetention), "", ErrExists},
		{"once, from the future", Preconditions{Idempotency: once}, three, kept(1, -time.Hour), "answer", nil},
	} {
		replay, err := c.pre.Decide(Preconditions.Allow, c.old, c.was, now)
		if string(replay) != c.replay || (replay != nil) != (c.replay != "") || !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
			t.Errorf("%s: Decide = %q, %v; want %q, %v", c.name, replay, err, c.replay, c.err)
		}
	}
	empty := &IdempotencyRecord{Fingerprint: once.Fingerprint, At: now}
	if replay, err := (Preconditions{Idempotency: once}).Decide(Preconditions.Allow, nil, empty, now); replay == nil || err != nil {
		t.Errorf("an empty answer is none: %v, %v", replay, err)
	}
}

func TestNextImported(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	old := &Account{ID: "1", Draft: Draft{Name: "old"}, Version: 5, CreatedAt: at(5), UpdatedAt: at(10)}
	for _, c := range []struct {
		name    string
		old     *Account
		in      Account
		want    Account
		changed bool
	}{
		{"new, as it is", nil, Account{ID: "1", Draft: Draft{Name: "x"}, Version: 7, CreatedAt: at(1), UpdatedAt: at(2)},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 7, CreatedAt: at(1), UpdatedAt: at(2)}, true},
		{"new, nothing known", nil, Account{ID: "1", Draft: Draft{Name: "x"}},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 1, CreatedAt: at(20), UpdatedAt: at(20)}, true},
		{"new, created in the future", nil, Account{ID: "1", Draft: Draft{Name: "x"}, CreatedAt: at(22)},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 1, CreatedAt: at(22), UpdatedAt: at(22)}, true},
		{"new, finer than is kept, in another zone", nil, Account{ID: "1", Draft: Draft{Name: "x"}, CreatedAt: at(1).Add(999).In(time.FixedZone("", 3600)), UpdatedAt: at(2)},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 1, CreatedAt: at(1), UpdatedAt: at(2)}, true},
		{"same content", old, Account{ID: "1", Draft: Draft{Name: "old", Labels: map[string]string{}}, Version: 9, CreatedAt: at(1), UpdatedAt: at(2)}, *old, false},
		{"replaced by a newer one", old, Account{ID: "1", Draft: Draft{Name: "x"}, Version: 9, CreatedAt: at(1), UpdatedAt: at(12)},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 9, CreatedAt: at(5), UpdatedAt: at(12)}, true},
		{"replaced by an older one", old, Account{ID: "1", Draft: Draft{Name: "x"}, Version: 2, CreatedAt: at(1), UpdatedAt: at(2)},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 6, CreatedAt: at(5), UpdatedAt: at(10)}, true},
		{"replaced, nothing known", old, Account{ID: "1", Draft: Draft{Name: "x"}},
			Account{ID: "1", Draft: Draft{Name: "x"}, Version: 6, CreatedAt: at(5), UpdatedAt: at(20)}, true},
	} {
		got, changed := NextImported(c.old, c.in, at(20))
		if !got.Equal(c.want) || changed != c.changed || got.UpdatedAt.Location() != time.UTC {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, changed, c.want, c.changed)
		}
	}
}
