package store

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of an account's fields.
const (
	MaxIDLength   = 64  // characters, each of A-Z a-z 0-9 . _ ~ -
	MaxNameLength = 256 // characters, of any language
)

// ID names an account. It is made of the characters that a URL carries
// unescaped (RFC 3986, 2.3, "unreserved"), so that it reads the same everywhere.
type ID string

// Account is one account as it is stored.
type Account struct {
	ID      ID
	Name    string
	Version int64 // 1 when created, one more at each change
	// CreatedAt and UpdatedAt are UTC in whole microseconds, what every store
	// can keep. Zero is "not known": the account came from a file that had no times.
	CreatedAt, UpdatedAt time.Time
}

// Draft is what a caller may decide of an account.
type Draft struct {
	Name string
}

// Invalid says which field of an account breaks its limits, and how. It never
// holds the value that was refused.
type Invalid struct {
	Field  string // as in JSON
	Reason string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Reason }

// ParseID returns s as an ID, or *Invalid.
func ParseID(s string) (ID, error) {
	if s == "" || len(s) > MaxIDLength {
		return "", &Invalid{"id", fmt.Sprintf("must have 1 to %d characters", MaxIDLength)}
	}
	for _, c := range []byte(s) {
		if !unreserved(c) {
			return "", &Invalid{"id", "may have only A-Z, a-z, 0-9 and . _ ~ -"}
		}
	}
	if s == "." || s == ".." {
		// RFC 3986, 5.2.4: clients remove these from a path before they ask.
		return "", &Invalid{"id", "must not be . or .., which mean a folder in a URL"}
	}
	return ID(s), nil
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '~' || c == '-'
}

// Validate returns nil or *Invalid. A name has 1 to MaxNameLength characters
// of valid UTF-8 without control characters.
func (d Draft) Validate() error {
	switch n := utf8.RuneCountInString(d.Name); {
	case !utf8.ValidString(d.Name):
		return &Invalid{"name", "must be valid UTF-8"}
	case n == 0 || n > MaxNameLength:
		return &Invalid{"name", fmt.Sprintf("must have 1 to %d characters", MaxNameLength)}
	}
	for _, r := range d.Name {
		if unicode.IsControl(r) {
			return &Invalid{"name", "must not have control characters"}
		}
	}
	return nil
}

// Next returns the account that a Put of draft at the time now leaves behind,
// and whether Put creates it: old is what is stored now, or nil.
func Next(old *Account, id ID, draft Draft, now time.Time) (acc Account, created bool) {
	now = now.UTC().Truncate(time.Microsecond)
	if old == nil {
		return Account{ID: id, Name: draft.Name, Version: 1, CreatedAt: now, UpdatedAt: now}, true
	}
	if now.Before(old.UpdatedAt) {
		now = old.UpdatedAt // a clock set back must not make a change look older than the last
	}
	return Account{ID: id, Name: draft.Name, Version: old.Version + 1, CreatedAt: old.CreatedAt, UpdatedAt: now}, false
}

// Fakes returns n accounts to seed: ids 10000.., names Person_0.. .
func Fakes(n int) []Seeding {
	seeds := make([]Seeding, n)
	for i := range seeds {
		seeds[i] = Seeding{ID: ID(fmt.Sprint(10000 + i)), Draft: Draft{Name: fmt.Sprint("Person_", i)}}
	}
	return seeds
}
