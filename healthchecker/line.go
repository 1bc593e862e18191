package main

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"accountservice/internal/excerpt"
	"accountservice/internal/httpcheck"
)

// maxLine is the longest output in bytes, with its newline. Docker keeps the first 4096 of a probe.
const maxLine = 1024

// secrets are the texts that must not be printed, even as part of an answer.
type secrets []string

// passwords returns every form of PASSWORD in SCHEME://USER:PASSWORD@ in a command line, even in one that is wrong.
func passwords(args []string) secrets {
	var found secrets
	for _, arg := range args {
		_, rest, _ := strings.Cut(arg, "://")
		at := strings.LastIndex(rest, "@")
		if at < 0 {
			continue
		}
		user, password, ok := strings.Cut(rest[:at], ":")
		if !ok || password == "" {
			continue
		}
		credentials := base64.StdEncoding.EncodeToString([]byte(unescape(user) + ":" + unescape(password)))
		found = append(found, credentials) // as the request holds it
		found = append(found, formsOf(password)...)
	}
	return found
}

// minValue is the length of the shortest value of a variable that is hidden. Without shorter ones, such as 1, the line
// would be hard to read.
const minValue = 4

// carried returns every form of those values of variables that a URL of args has after its host, because a service may
// repeat what it is asked. Of a value that is a whole URL or query they are the values of its parameters, and a query
// that has no name.
func carried(args, values []string) secrets {
	var found secrets
	for _, value := range values {
		for pair := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune("?&#", r) }) {
			if _, text, named := strings.Cut(pair, "="); named {
				pair = text
			}
			values = append(values, pair)
		}
	}
	for _, arg := range args {
		scheme, rest, _ := strings.Cut(arg, "://")
		path := rest[strings.IndexAny(rest+"/", "/?#"):]
		if strings.HasSuffix(scheme, "unix") {
			_, path, _ = strings.Cut(rest, ":/") // the file before it is the address
		}
		for _, value := range values {
			if len(value) >= minValue && strings.Contains(path, value) {
				found = append(found, formsOf(value)...)
			}
		}
	}
	return found
}

// formsOf returns a text of a URL in the forms in which an answer could repeat it.
func formsOf(text string) secrets {
	plain := unescape(text)
	quoted := strconv.Quote(plain)
	return secrets{text, plain, strings.ReplaceAll(plain, "+", " "), quoted[1 : len(quoted)-1], url.QueryEscape(plain),
		url.PathEscape(plain)}
}

// valuesOf returns the secrets that an answer could repeat of the fields of -header-file: each value, its part after
// Bearer or Basic, and the password in the latter.
func valuesOf(fields []httpcheck.Field) secrets {
	var found secrets
	for _, field := range fields {
		quoted := strconv.Quote(field.Value)
		found = append(found, field.Value, quoted[1:len(quoted)-1])
		_, credentials, _ := strings.Cut(field.Value, " ")
		plain, _ := base64.StdEncoding.DecodeString(credentials)
		_, password, _ := strings.Cut(string(plain), ":")
		found = append(found, credentials, password)
	}
	return slices.DeleteFunc(found, func(text string) bool { return text == "" })
}

func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

func (s secrets) line(text string) string {
	return s.short(text, maxLine-1) + "\n"
}

// short returns text on one printable line of at most size bytes, cut between characters.
func (s secrets) short(text string, size int) string {
	longestFirst := func(a, b string) int { return len(b) - len(a) } // one may be the start of another
	for _, secret := range slices.SortedFunc(slices.Values(s), longestFirst) {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Join(strings.Fields(excerpt.Line(text)), " ")
	if len(text) <= size {
		return text
	}
	return excerpt.Start(text, max(0, size-len("…")))
}
