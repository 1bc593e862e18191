package handlers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// validBody returns what is wrong with a JSON body, or nil: first as JSON, then
// by the schema that the OpenAPI document shows.
func validBody(body []byte, schema *huma.Schema, registry huma.Registry) *Problem {
	var value any
	if err := unmarshalStrict(body, &value); err != nil {
		p := problem(http.StatusBadRequest, "The body is not the JSON it must be. Nothing was changed.")
		p.Errors = []InvalidField{pointerOf(err)}
		return p
	}
	var result huma.ValidateResult
	huma.Validate(registry, schema, huma.NewPathBuffer([]byte("body"), len("body")), huma.ModeWriteToServer, guarded(value), &result)
	if len(result.Errors) == 0 {
		return nil
	}
	var fields []InvalidField
	for _, err := range result.Errors {
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			fields = append(fields, place(detail.Location, detail.Message))
		}
	}
	return unprocessable(fields...)
}

// unmarshalStrict takes JSON (RFC 8259) of valid UTF-8 without duplicate names,
// trailing data, or names that are not ours. Its errors tell the place and never
// the value.
func unmarshalStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return &badJSON{detail: "not valid UTF-8"}
	}
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return &badJSON{syntax.JSONPointer, "stands twice in its object"}
	case errors.As(err, &syntax):
		return &badJSON{syntax.JSONPointer, fmt.Sprintf("not valid JSON at byte %d", syntax.ByteOffset)}
	case errors.As(err, &semantic):
		return &badJSON{semantic.JSONPointer, "has an unknown name or a wrong type"}
	}
	return &badJSON{detail: "not valid JSON"}
}

// badJSON is a place in a body, and what is wrong there.
type badJSON struct {
	pointer jsontext.Pointer
	detail  string
}

func (e *badJSON) Error() string { return e.detail }

func pointerOf(err error) InvalidField {
	var bad *badJSON
	if !errors.As(err, &bad) {
		return InvalidField{Pointer: "#", Detail: "not valid JSON"}
	}
	return InvalidField{Pointer: fragment(string(bad.pointer)), Detail: bad.detail}
}

// fragment writes a JSON pointer as the fragment of a URI (RFC 6901, 6).
func fragment(pointer string) string {
	return "#" + (&url.URL{Fragment: pointer}).EscapedFragment()
}

// huma tells places as body.labels.a[0], where a name may hold a dot itself,
// and finds names whatever their case. Guarded names have neither: all but
// plain ones are in hexadecimal behind a "~".
func guarded(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			if name == "" || strings.ContainsFunc(name, notPlain) {
				name = "~" + hex.EncodeToString([]byte(name))
			}
			out[name] = guarded(member)
		}
		return out
	case []any:
		for i := range v {
			v[i] = guarded(v[i])
		}
	}
	return value
}

func notPlain(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}

// clearer has other words for what huma says in terms of Go and of patterns.
var clearer = []struct{ begins, say string }{
	{"invalid date/time", "must be a time of RFC 3339, such as 2026-11-22T14:39:46Z; in a URL, + is written %2B"},
	{"expected string to be RFC 5322 email", "must be an address as in local@domain"},
	{"expected string to match pattern", "may have only A-Z, a-z, 0-9 and . _ ~ -, and not be . or .."}, // ids alone have one
}

// place turns huma's "body.name" or "query.limit" into ours.
func place(location, detail string) InvalidField {
	for _, row := range clearer {
		if strings.HasPrefix(detail, row.begins) {
			detail = row.say
		}
	}
	detail, _, _ = strings.Cut(detail, ": ") // behind it huma has errors of others, with the value in them
	where, rest, _ := strings.Cut(location, ".")
	if index := strings.IndexByte(where, '['); index >= 0 { // body[0]
		where, rest = where[:index], location[index:]
	}
	if where != "body" {
		return InvalidField{Parameter: rest, Detail: detail}
	}
	var pointer jsontext.Pointer
	for token := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		if coded, ok := strings.CutPrefix(token, "~"); ok {
			name, _ := hex.DecodeString(coded) // guarded wrote it
			token = string(name)
		}
		pointer = pointer.AppendToken(token)
	}
	return InvalidField{Pointer: fragment(string(pointer)), Detail: detail}
}
