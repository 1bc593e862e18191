package config

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// masked stands where a secret was; net/url's Redacted writes the same.
const masked = "xxxxx"

// URL is the address of a dependency or of the database. It may hold a password: no verb of fmt and no encoder shows
// that, and only Reveal returns it. Two URLs with the same text are ==.
type URL struct{ text Secret }

// parseURL takes an absolute URL with a host, or "" for none; only dns:///name has none, for the
// system's own name servers (RFC 4501). Its errors quote nothing of text.
func parseURL(text string) (URL, error) {
	if text == "" {
		return URL{}, nil
	}
	if strings.ContainsAny(text, " \t") {
		if !strings.Contains(text, "://") { // libpq's host=... dbname=...
			return URL{}, errNoURL
		}
		return URL{}, errors.New("holds a space: write %20")
	}
	before, hosts, after := splitHosts(text)
	for host := range strings.SplitSeq(hosts, ",") {
		// err is not used: url.Error quotes its input, "invalid port" the start of a password
		u, err := url.Parse(before + host + after)
		if err != nil {
			return URL{}, errors.New("is no URL: is a special character in the password not percent-encoded, " +
				"or the port no number?")
		}
		if err := checkURL(u); err != nil {
			return URL{}, err
		}
	}
	return URL{parseSecret(text)}, nil
}

// splitHosts returns the hosts of a URL, and what it has before and after them. Those of PostgreSQL may be several with
// commas between them, of which url.Parse takes no list such as a:5432,b. Of another URL all is before.
func splitHosts(text string) (before, hosts, after string) {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return text, "", ""
	}
	end := strings.IndexAny(rest+"/", "/?#")
	login := strings.LastIndex(rest[:end], "@") + 1
	return scheme + "://" + rest[:login], rest[login:end], rest[end:]
}

var errNoURL = errors.New("is no absolute URL: write it as scheme://host/path")

// checkURL refuses what net/url accepts but a check can't use or String can't mask.
func checkURL(u *url.URL) error {
	switch port, err := strconv.Atoi(u.Port()); {
	case u.Scheme == "" || u.Opaque != "":
		return errNoURL
	case u.Hostname() == "" && (u.Host != "" || u.Scheme != "dns"):
		return errors.New("has no host: write it as scheme://host/path")
	case strings.Contains(u.Host, "$"):
		return errVariable
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

// Reveal returns the URL as it was set, with its password: for the check that connects to it, never for a log.
func (u URL) Reveal() string { return u.text.Reveal() }

// String masks the password, and a user name that stands alone: some services take a token there.
func (u URL) String() string {
	before, hosts, after := splitHosts(u.Reveal())
	first, _, several := strings.Cut(hosts, ",")
	parsed, _ := url.Parse(before + first + after) // as parseURL did
	if several {
		parsed.Host = hosts
	}
	if _, has := parsed.User.Password(); has {
		parsed.User = url.UserPassword(parsed.User.Username(), masked)
	} else if parsed.User != nil {
		parsed.User = url.User(masked)
	}
	parsed.RawQuery = maskQuery(parsed.RawQuery)
	return parsed.String()
}

// queryPair is one name=value; some servers still split at semicolons.
var queryPair = regexp.MustCompile(`([^&;=]*)=([^&;]*)`)

func maskQuery(query string) string {
	return queryPair.ReplaceAllStringFunc(query, func(pair string) string {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || secretName(plain) {
			return name + "=" + masked
		}
		return pair
	})
}

// secretName is true for too many names rather than too few: for "monkey" too, and for what a tcp check sends.
func secretName(name string) bool {
	name = strings.ToLower(name)
	words := []string{"pass", "pwd", "token", "secret", "key", "auth", "sig", "cred", "send"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
}

// MarshalText serves JSON, YAML, slog and whatever else encodes.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
