package config

import (
	"errors"
	"strings"
)

// SecretURL is an http or https address that is a secret as a whole, such as that of a chat's webhook: whoever knows
// its path may use it. Nothing but Reveal shows more than its scheme. Two of the same text are ==.
type SecretURL struct{ url URL }

// parseSecretURL takes an absolute http or https URL, or "" for none. Its errors quote nothing of text.
func parseSecretURL(text string) (SecretURL, error) {
	u, err := parseURL(text)
	if scheme, _, _ := strings.Cut(text, "://"); err == nil && text != "" && scheme != "http" && scheme != "https" {
		err = errors.New("must begin with http:// or https://")
	}
	if err != nil {
		return SecretURL{}, err
	}
	return SecretURL{u}, nil
}

// Reveal returns the URL as it was set: for what connects to it, never for a log.
func (s SecretURL) Reveal() string { return s.url.Reveal() }

// String is the scheme, and a mask instead of the rest.
func (s SecretURL) String() string {
	scheme, _, is := strings.Cut(s.Reveal(), "://")
	if !is {
		return ""
	}
	return scheme + "://" + masked
}

// MarshalText serves whatever encodes.
func (s SecretURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
