package config

import "unique"

// Secret is a password or a key: no verb of fmt and no encoder shows it, and only Reveal returns it. Two Secrets with
// the same text are ==.
type Secret struct {
	// A handle, not a string: where fmt does not call String, it prints a pointer.
	text unique.Handle[string]
}

func parseSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Reveal returns the secret as it was set: never for a log.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// String is xxxxx, or empty if there is none.
func (s Secret) String() string {
	if s == (Secret{}) {
		return ""
	}
	return masked
}

// MarshalText serves JSON, YAML, slog and whatever else encodes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
