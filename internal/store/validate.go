package store

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Invalid names the field of an account that breaks its limits, and the limit. It never holds the refused value.
type Invalid struct {
	// Field is the path in JSON, "labels/KEY" for the value of a label. A slash before it makes it a JSON Pointer (RFC
	// 6901); nothing in it needs escaping. It never holds a refused key.
	Field  string
	Reason string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Reason }

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
