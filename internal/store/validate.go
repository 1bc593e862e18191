package store

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

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

func validText(field, s string, least, most int) error {
	if !utf8.ValidString(s) {
		return &Invalid{field, "must be valid UTF-8"}
	}
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return &Invalid{field, fmt.Sprintf("must have %d to %d characters", least, most)}
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return &Invalid{field, "must not have control characters"}
	}
	return nil
}

// blank are the characters that Unicode calls letters, marks or symbols and that
// have no shape, beside those that it lists as ignorable.
const blank = "\u2800\U0001d159"

// invisible reports whether r shows nothing: spaces, control and format characters, fillers and variation selectors.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Z, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector) || strings.ContainsRune(blank, r)
}

// domains are those that the DNS could hold (RFC 1035, RFC 5891).
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

func validEmail(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > MaxEmailLength {
		return &Invalid{"email", fmt.Sprintf("must have at most %d bytes", MaxEmailLength)}
	}
	if err := validText("email", s, 1, MaxEmailLength); err != nil {
		return err
	}
	// the parser takes "Name <a@b>", comments, quotes and folded space, and returns another address then
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || a.Name != "" || strings.LastIndexByte(s, '@') > 64 {
		return &Invalid{"email", "must be an address as in local@domain (RFC 5322, addr-spec)"}
	}
	if strings.ContainsFunc(s, invisible) {
		return &Invalid{"email", "must not have spaces or invisible characters"}
	}
	domain := s[strings.LastIndexByte(s, '@')+1:]
	if _, err := domains.ToASCII(domain); err != nil && domain[0] != '[' { // an address literal has no name
		return &Invalid{"email", "must have a domain that the DNS can hold"}
	}
	return nil
}
