package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"unique"
)

// minSecret is how many bytes a secret has at least: a shorter one is guessed.
const minSecret = 16

// Secret is a text that only Reveal gives, whatever the verb or the encoder. Two
// of the same text are ==.
type Secret struct {
	text unique.Handle[string] // as in URL
}

// parseSecret takes an empty text for no secret.
func parseSecret(text string) (Secret, error) {
	if text == "" {
		return Secret{}, nil
	}
	if len(text) < minSecret {
		return Secret{}, fmt.Errorf("must have at least %d characters", minSecret)
	}
	return Secret{unique.Make(text)}, nil
}

// Reveal is the secret itself: for who uses it, never for a log.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// String says only whether there is one.
func (s Secret) String() string {
	if s == (Secret{}) {
		return ""
	}
	return masked
}

// Format serves every verb: %d and %x must not look inside either.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = f.Write([]byte(text)) // as in URL
}

// GoString is String: %#v prints too.
func (s Secret) GoString() string { return s.String() }

// MarshalText serves JSON, YAML and whatever else encodes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue serves slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
