package store

import (
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// Limits of an account.
const (
	MaxIDLength = 64        // characters, each of A-Z a-z 0-9 . _ ~ -
	MaxVersion  = 1<<53 - 1 // of an account: what JSON carries exactly everywhere (RFC 8259, 6)
)

// ID names an account. It is made of the characters that a URL carries
// unescaped (RFC 3986, 2.3, "unreserved"), so that it reads the same everywhere.
type ID string

// Account is one account as it is stored. Its JSON is that of the API, of exports
// and, without the id, of database records.
type Account struct {
	ID ID `json:"id"`
	Draft
	Version int64 `json:"version,omitzero"` // 1 when created, one more at each change, up to MaxVersion
	// CreatedAt and UpdatedAt are UTC in whole microseconds, which every store can
	// keep. Zero is unknown: the account came from a file without times.
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// Equal reports whether a and b are the same in every field.
func (a Account) Equal(b Account) bool {
	return a.ID == b.ID && a.Draft.Equal(b.Draft) && a.Version == b.Version &&
		a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt)
}

// Validate returns nil or *Invalid: an account that is imported has an id and content within their limits, a version of
// 0 to MaxVersion, and times of the years 1 to 9999 (RFC 3339), or none.
func (a Account) Validate() error {
	if _, err := ParseID(string(a.ID)); err != nil {
		return err
	}
	if err := a.Draft.Validate(); err != nil {
		return err
	}
	switch {
	case a.Version < 0 || a.Version > MaxVersion:
		return &Invalid{"version", fmt.Sprintf("must be 0 to %d", int64(MaxVersion))}
	case !validTime(a.CreatedAt):
		return &Invalid{"created_at", "must be of the years 1 to 9999"}
	case !validTime(a.UpdatedAt):
		return &Invalid{"updated_at", "must be of the years 1 to 9999"}
	case !a.UpdatedAt.IsZero() && a.UpdatedAt.Before(a.CreatedAt):
		return &Invalid{"updated_at", "must not be before created_at"}
	}
	return nil
}

func validTime(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

// LogValue keeps personal data out of the log.
func (a Account) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", string(a.ID)), slog.Int64("version", a.Version))
}

// IDPattern is the grammar of an ID, as a regular expression that Go and JSON Schema read alike: unreserved characters,
// and not . or .. alone, which clients remove from a path before they ask (RFC 3986, 5.2.4).
const IDPattern = `^(\.{0,2}[A-Za-z0-9_~-]|\.{3})[A-Za-z0-9._~-]*$`

// ParseID returns s as an ID, or *Invalid.
func ParseID(s string) (ID, error) {
	switch {
	case s == "" || len(s) > MaxIDLength:
		return "", &Invalid{"id", fmt.Sprintf("must have 1 to %d characters", MaxIDLength)}
	case s == "." || s == "..":
		return "", &Invalid{"id", "must not be . or .., which mean a folder in a URL"}
	}
	for i := range len(s) { // of each request: a regular expression takes ten times as long
		if !unreserved(s[i]) {
			return "", &Invalid{"id", "may have only A-Z, a-z, 0-9 and . _ ~ -"}
		}
	}
	return ID(s), nil
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '~' || c == '-'
}

// Fakes returns n accounts to seed: ids 10000.., names Person_0.. .
func Fakes(n int) iter.Seq[Account] {
	return func(yield func(Account) bool) {
		for i := range n {
			if !yield(Account{ID: ID(fmt.Sprint(10000 + i)), Draft: Draft{Name: fmt.Sprint("Person_", i)}}) {
				return
			}
		}
	}
}
