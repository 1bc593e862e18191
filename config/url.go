package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unique"
)

// masked stands where a secret was; net/url's Redacted writes the same.
const masked = "xxxxx"

// URL is where a dependency answers. It may carry a password, so every way to
// print it hides that, whatever the verb or the encoder: only Reveal gives it.
// Two URLs with the same text are ==.
type URL struct {
	// A handle and not a string: fmt prints the unexported field of somebody
	// else's struct without asking Format, and then finds only an address.
	text unique.Handle[string]
}

// ParseURL takes an absolute URL with a host; only dns:///name has none, for the
// system's own name servers (RFC 4501). Its errors quote nothing of text.
func ParseURL(text string) (URL, error) {
	if text == "" {
		return URL{}, errors.New("must not be empty")
	}
	if strings.ContainsAny(text, " \t") {
		return URL{}, errors.New("holds a space: write %20")
	}
	// url.Error quotes its input, and "invalid port" the start of a password.
	u, err := url.Parse(text)
	if err != nil {
		return URL{}, errors.New("is no URL: is a special character in the password not percent-encoded, or the port no number?")
	}
	if err := whole(u); err != nil {
		return URL{}, err
	}
	return URL{unique.Make(text)}, nil
}

// whole refuses what net/url takes and a check could not use, or String not hide.
func whole(u *url.URL) error {
	switch port, err := strconv.Atoi(u.Port()); {
	case u.Scheme == "" || u.Opaque != "":
		return errors.New("is no absolute URL: write it as scheme://host/path")
	case u.Hostname() == "" && (u.Host != "" || u.Scheme != "dns"):
		return errors.New("has no host: write it as scheme://host/path")
	case u.Port() != "" && (err != nil || port < 1 || port > 65535), strings.HasSuffix(u.Host, ":"):
		return errors.New("must have a port between 1 and 65535, or none")
	case u.Fragment != "" || strings.Contains(u.String(), "#"):
		return errors.New("must have no fragment: write a # that belongs to the password as %23")
	case strings.Contains(u.EscapedPath()+u.RawQuery, "@"):
		// http://user:12/3@host parses, with the password's end in the path
		return errors.New("holds an @ after the host: write it as %40, and a / in the password as %2F")
	}
	return nil
}

// Reveal is the URL as it was set, password and all: for the check that calls
// it, never for a log.
func (u URL) Reveal() string {
	if u == (URL{}) {
		return ""
	}
	return u.text.Value()
}

// String is the URL without its password. A user name alone is hidden too:
// tokens are sent so.
func (u URL) String() string {
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		return masked
	}
	if _, has := parsed.User.Password(); has {
		parsed.User = url.UserPassword(parsed.User.Username(), masked)
	} else if parsed.User != nil {
		parsed.User = url.User(masked)
	}
	parsed.RawQuery = maskQuery(parsed.RawQuery)
	return parsed.String()
}

// scheme is the part before the colon, as net/url understands it.
func (u URL) scheme() string {
	scheme, _, _ := strings.Cut(u.Reveal(), ":")
	return strings.ToLower(scheme)
}

// queryPair is one name=value; some servers still split at semicolons.
var queryPair = regexp.MustCompile(`([^&;=]*)=([^&;]*)`)

// maskQuery keeps all but the values whose names say that they are secret.
func maskQuery(query string) string {
	return queryPair.ReplaceAllStringFunc(query, func(pair string) string {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || secretName(plain) {
			return name + "=" + masked
		}
		return pair
	})
}

// secretName errs on the side of hiding: "monkey" is hidden too, and what a tcp
// check sends.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"pass", "pwd", "token", "secret", "key", "auth", "sig", "cred", "send"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Format serves every verb: %d and %x must not look inside either.
func (u URL) Format(f fmt.State, verb rune) {
	text := u.String()
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = f.Write([]byte(text)) // a fmt.State that can't be written to has no remedy
}

// GoString is String: %#v prints too.
func (u URL) GoString() string { return u.String() }

// MarshalText serves JSON, YAML and whatever else encodes.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue serves slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
