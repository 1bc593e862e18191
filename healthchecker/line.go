package main

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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
		plainUser, plain := unescape(user), unescape(password)
		found = append(found, password, plain, url.QueryEscape(plain), url.PathEscape(plain),
			base64.StdEncoding.EncodeToString([]byte(plainUser+":"+plain))) // as the request holds it
	}
	return found
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
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Join(strings.Fields(strings.Map(printable, text)), " ")
	if len(text) <= size {
		return text
	}
	const ellipsis = "…"
	cut := max(0, size-len(ellipsis))
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + ellipsis
}

// printable replaces what does not print: newlines, escape sequences and changes of the direction of writing.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return ' '
}
