package store

import (
	"errors"
	"testing"
	"time"
)

func TestTermsDecide(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	three := &Account{ID: "1", Version: 3}
	at := func(versions ...int64) []Revision {
		list := []Revision{}
		for _, v := range versions {
			list = append(list, Account{ID: "1", Version: v}.Revision())
		}
		return list
	}
	once := &Once{Key: "k", Fingerprint: Fingerprint{1}}
	kept := func(f byte, age time.Duration) *Remembered {
		return &Remembered{Fingerprint: Fingerprint{f}, At: now.Add(-age), Answer: []byte("answer")}
	}
	for _, c := range []struct {
		name   string
		terms  Terms
		old    *Account
		was    *Remembered
		replay string
		err    error
	}{
		{"no terms, none there", Terms{}, nil, nil, "", nil},
		{"no terms, one there", Terms{}, three, nil, "", nil},
		{"absent, none there", Terms{Absent: true}, nil, nil, "", nil},
		{"absent, one there", Terms{Absent: true}, three, nil, "", ErrExists},
		{"present, none there", Terms{Present: true}, nil, nil, "", ErrVersion},
		{"present, one there", Terms{Present: true}, three, nil, "", nil},
		{"revisions, none there", Terms{Revisions: at(3)}, nil, nil, "", ErrVersion},
		{"revisions, another there", Terms{Revisions: at(1, 2, 4)}, three, nil, "", ErrVersion},
		{"revisions, one of them there", Terms{Revisions: at(2, 3)}, three, nil, "", nil},
		{"no revision at all", Terms{Revisions: at()}, three, nil, "", ErrVersion},
		{"no revision at all, none there", Terms{Revisions: at()}, nil, nil, "", ErrVersion},
		{"absent before revisions", Terms{Absent: true, Revisions: at(1)}, three, nil, "", ErrExists},
		{"absent and present, none there", Terms{Absent: true, Present: true}, nil, nil, "", ErrVersion},
		{"present and another revision", Terms{Present: true, Revisions: at(1)}, three, nil, "", ErrVersion},

		{"once, new", Terms{Once: once}, three, nil, "", nil},
		{"once, new, but exists", Terms{Once: once, Absent: true}, three, nil, "", ErrExists},
		{"once, again", Terms{Once: once}, three, kept(1, time.Hour), "answer", nil},
		{"once, again, before any other term", Terms{Once: once, Absent: true, Revisions: at(1)}, three, kept(1, 0), "answer", nil},
		{"once, other request", Terms{Once: once}, three, kept(2, time.Hour), "", ErrKeyReused},
		{"once, other request, before any other term", Terms{Once: once, Absent: true}, three, kept(2, 0), "", ErrKeyReused},
		{"once, a moment before its end", Terms{Once: once}, three, kept(1, KeepAnswers-1), "answer", nil},
		{"once, too old", Terms{Once: once}, three, kept(1, KeepAnswers), "", nil},
		{"once, other request, too old", Terms{Once: once}, three, kept(2, KeepAnswers), "", nil},
		{"once, too old, and exists", Terms{Once: once, Absent: true}, three, kept(1, KeepAnswers), "", ErrExists},
		{"once, from the future", Terms{Once: once}, three, kept(1, -time.Hour), "answer", nil},
	} {
		replay, err := c.terms.Decide(c.old, c.was, now)
		if string(replay) != c.replay || (replay != nil) != (c.replay != "") || !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
			t.Errorf("%s: Decide = %q, %v; want %q, %v", c.name, replay, err, c.replay, c.err)
		}
	}
	empty := &Remembered{Fingerprint: once.Fingerprint, At: now}
	if replay, err := (Terms{Once: once}).Decide(nil, empty, now); replay == nil || err != nil {
		t.Errorf("an empty answer is none: %v, %v", replay, err)
	}
}

func TestNextImported(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	old := &Account{ID: "1", Name: "old", Version: 5, CreatedAt: at(5), UpdatedAt: at(10)}
	for _, c := range []struct {
		name    string
		old     *Account
		in      Account
		want    Account
		changed bool
	}{
		{"new, as it is", nil, Account{ID: "1", Name: "x", Version: 7, CreatedAt: at(1), UpdatedAt: at(2)},
			Account{ID: "1", Name: "x", Version: 7, CreatedAt: at(1), UpdatedAt: at(2)}, true},
		{"new, nothing known", nil, Account{ID: "1", Name: "x"},
			Account{ID: "1", Name: "x", Version: 1, CreatedAt: at(20), UpdatedAt: at(20)}, true},
		{"new, created in the future", nil, Account{ID: "1", Name: "x", CreatedAt: at(22)},
			Account{ID: "1", Name: "x", Version: 1, CreatedAt: at(22), UpdatedAt: at(22)}, true},
		{"new, finer than is kept, in another zone", nil, Account{ID: "1", Name: "x", CreatedAt: at(1).Add(999).In(time.FixedZone("", 3600)), UpdatedAt: at(2)},
			Account{ID: "1", Name: "x", Version: 1, CreatedAt: at(1), UpdatedAt: at(2)}, true},
		{"same content", old, Account{ID: "1", Name: "old", Labels: map[string]string{}, Version: 9, CreatedAt: at(1), UpdatedAt: at(2)}, *old, false},
		{"replaced by a newer one", old, Account{ID: "1", Name: "x", Version: 9, CreatedAt: at(1), UpdatedAt: at(12)},
			Account{ID: "1", Name: "x", Version: 9, CreatedAt: at(5), UpdatedAt: at(12)}, true},
		{"replaced by an older one", old, Account{ID: "1", Name: "x", Version: 2, CreatedAt: at(1), UpdatedAt: at(2)},
			Account{ID: "1", Name: "x", Version: 6, CreatedAt: at(5), UpdatedAt: at(10)}, true},
		{"replaced, nothing known", old, Account{ID: "1", Name: "x"},
			Account{ID: "1", Name: "x", Version: 6, CreatedAt: at(5), UpdatedAt: at(20)}, true},
	} {
		got, changed := NextImported(c.old, c.in, at(20))
		if !got.Equal(c.want) || changed != c.changed || got.UpdatedAt.Location() != time.UTC {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, changed, c.want, c.changed)
		}
	}
}

func TestQueriesMatch(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	acc := Account{ID: "1", Name: "Zoë Quinn", UpdatedAt: noon}
	for _, c := range []struct {
		q    Query
		want bool
	}{
		{Query{}, true},
		{Query{Name: "Zoë Quinn"}, true},
		{Query{Name: "zoë quinn"}, false},
		{Query{Name: "Zoë"}, false},
		{Query{NamePrefix: "Zoë"}, true},
		{Query{NamePrefix: "Quinn"}, false},
		{Query{UpdatedSince: noon}, true},
		{Query{UpdatedSince: noon.Add(1)}, false},
		{Query{NamePrefix: "Z", UpdatedSince: noon.Add(-1)}, true},
		{Query{Name: "Zoë Quinn", NamePrefix: "X"}, false},
	} {
		if got := c.q.Match(acc); got != c.want {
			t.Errorf("%+v matches %v, want %v", c.q, got, c.want)
		}
	}
	if (Query{UpdatedSince: time.Unix(-1<<40, 0)}).Match(Account{ID: "1"}) {
		t.Errorf("an account of unknown times matches a time")
	}
}
